"""Public ports for annotated pods, on Alibaba Cloud NAT gateways.

The logic behind the hooks: what a pod asks for, which gateway and ports it gets, and how a gateway's forward table
is brought there. Flask is known to ``hooks`` alone.
"""

__version__ = "0.1.0"

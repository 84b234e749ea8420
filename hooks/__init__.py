"""The hooks that Metacontroller calls, as a Flask application: JSON in, JSON out, one small module for each hook.

What the answers should be is ``poddnat``'s to know.
"""

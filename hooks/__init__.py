"""The hooks that Metacontroller calls, as a Flask application: JSON in, JSON out, one small module for each hook.

The reconcilers in ``poddnat.controllers`` decide what the answers are.
"""

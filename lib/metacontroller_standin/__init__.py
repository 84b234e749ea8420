"""Plays Metacontroller for tests, the demo and `poddnat simulate`.

It reads the DecoratorController and CompositeController manifests as they are shipped and calls their hooks
as Metacontroller does, over a real Kubernetes API server or over the small one in `memory_api`. It knows
nothing of what the hooks are for.
"""

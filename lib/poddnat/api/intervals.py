"""Every retry that the objects of the API speak of, in seconds."""

PROBLEM_RETRY_AFTER = 60.0
"""When to ask again after a problem that names no time itself: somebody has to act first, and wants to see it work."""

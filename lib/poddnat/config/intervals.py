"""Every pause of the configuration's package, in seconds."""

POLL_INTERVAL = 1.0
"""Between two polls of the values file: an operator who edits it looks for the effect at once."""

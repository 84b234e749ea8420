"""TODO fixed."""

"""TODO cli."""

from poddnat.cli.commands import complete_plugin, main, plugin

__all__ = ["complete_plugin", "main", "plugin"]

"""The commands of ``poddnat`` and ``kubectl poddnat``, and how they print.

They put the parts together for people at a terminal. Nobody imports this package. What serves hooks doesn't need it.
"""

from poddnat.cli.commands import complete_plugin, main, plugin

__all__ = ["complete_plugin", "main", "plugin"]

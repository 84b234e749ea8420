"""Benchmarks: ``make bench``. Figures are ratios within one run wherever a machine's speed would matter."""

"""Benchmarks of the exporter against real programs on the same machine; see README.md."""

"""Metrics: their definitions, how API values are read and samples written, and the current snapshot."""

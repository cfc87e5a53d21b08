"""Prometheus exporter for people who rent GPUs on Vast.ai."""

__version__ = "0.1.0"

"""Prometheus service discovery of running instances."""

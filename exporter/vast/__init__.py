"""Vast.ai API client, independent of Prometheus."""

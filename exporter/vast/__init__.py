"""The client of the Vast.ai API; nothing here depends on Prometheus."""

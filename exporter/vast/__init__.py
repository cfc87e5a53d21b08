"""All that knows the Vast.ai API, and nothing that knows Prometheus."""

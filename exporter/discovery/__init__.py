"""Where running instances can be reached, for Prometheus's service discovery."""

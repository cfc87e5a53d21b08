"""The complete table of metrics, the body of /metrics, and the exporter's own metrics."""

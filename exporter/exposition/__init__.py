"""The whole table of metrics, the bytes of /metrics, and the exporter's own metrics."""

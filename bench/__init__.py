"""How fast the exporter is, beside something real on the same machine; see README.md."""

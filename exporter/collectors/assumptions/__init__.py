"""What the exporter takes for true of the API, how sure that is, and how `probe` holds it against replies."""

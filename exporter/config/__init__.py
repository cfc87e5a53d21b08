"""config.yaml and the web configuration: models, loading and error messages."""

"""config.yaml and the web configuration: models, loading, and every mistake in words."""

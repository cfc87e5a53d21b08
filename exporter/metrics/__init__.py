"""What a metric is, how the API's values are read, how samples are written, and what is known at a moment."""

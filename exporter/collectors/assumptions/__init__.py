"""Assumptions about the API, how certain they are, and how `probe` checks them against replies."""

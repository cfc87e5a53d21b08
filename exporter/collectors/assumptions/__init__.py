"""Assumptions about the API, their confidence, and the checks with which `probe` tests them."""

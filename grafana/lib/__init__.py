"""Shared parts of all dashboards."""

"""Scheduling of collector runs, and the effects of a reload."""

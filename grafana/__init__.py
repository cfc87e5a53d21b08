"""The Grafana dashboards, as Python; `python -m grafana` writes their JSON next to this file."""

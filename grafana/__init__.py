"""The Grafana dashboards, as Python; `python -m grafana` writes their JSON beside this file."""

"""Grafana dashboards over Sluice's metrics: `python -m deployments.grafana` writes them beside this file, as JSON to import."""

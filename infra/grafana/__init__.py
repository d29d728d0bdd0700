"""Grafana's dashboards, made from the names of the metrics that the code exports."""

"""A real Jaeger on this machine, built from its published Go module. `python -m infra.jaeger start|stop|status`."""

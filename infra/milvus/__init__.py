"""A real Milvus server on this machine, from its Python package. `python -m infra.milvus start|stop|status`."""

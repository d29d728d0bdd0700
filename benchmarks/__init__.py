"""Programs that measure the mesh; each prints a table and can print JSON."""

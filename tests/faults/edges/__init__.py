"""Every edge of the mesh, behind a TCP proxy that misbehaves on command."""

"""The chart of the mesh, and the programs that check it."""

"""What the mesh is worth: break-even of a fixed endpoint, and prompts that say no more than they must. Pure arithmetic."""

"""What the mesh runs on: the embedded broker, stand-ins, and files for real servers."""

"""The Faust app that routes requests."""

"""The pure kernel: stdlib only, no clock, no randomness, no environment, no logging."""

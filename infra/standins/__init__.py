"""Programs that speak a vendor's wire and fail on command: `tgi`, `claude` and `spans` (see README.md here).

They import nothing of the mesh, so that a mistake in it cannot be hidden by the same mistake in its stand-in.
"""

"""Transforms, one kind a file, and the chain that a TRANSFORM clause makes of them."""

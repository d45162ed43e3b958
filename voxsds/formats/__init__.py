"""Builds in the formats of other programs.

A format is a module with read(path) -> Build and write(path, build) -> files (`exchange.Format`). exchange.py
chooses it by the suffix, and turns its blocks into materials of ours and back by mapping.py. glb.py only
writes, and from a world, as it draws the colours of all six faces.
"""

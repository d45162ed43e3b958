"""Builds in the formats of other programs.

A format is a module with read(path) -> Build and write(path, build); exchange.py chooses by the suffix and
turns a Build into a world of ours. glb.py only writes.
"""

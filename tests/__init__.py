"""A package, so that the `tests` which SchemPy leaves in an environment are not taken for it."""

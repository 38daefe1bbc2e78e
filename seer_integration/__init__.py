"""Seer-style jobs on shared memory. Nothing is exported yet: the name and its place in the layers are reserved."""

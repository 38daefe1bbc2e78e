"""The only rooms that know Lithops: the import hook, and the backends Lithops loads by name."""

"""The all-to-all exchange of a map_reduce: rows go from every mapper to the reducer of their key."""

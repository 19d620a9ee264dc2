"""``tutelage demo``: everything that runs in production, on one machine, in three minutes."""

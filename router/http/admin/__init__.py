"""``/admin/v1``: what an operator asks and changes, as JSON."""

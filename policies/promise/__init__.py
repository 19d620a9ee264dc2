"""Promises about agreement: what is claimed, how it is proven, and who serves under it."""

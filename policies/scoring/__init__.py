"""Numpy inference of learned gates."""

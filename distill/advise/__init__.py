"""Distill, route, fine-tune or leave it: the decision and the figures behind it."""

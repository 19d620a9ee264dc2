"""The model card of a release: what it learned from, what it passed, what it preserved."""

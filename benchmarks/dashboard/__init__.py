"""The dashboard over a large store."""

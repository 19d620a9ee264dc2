"""Asking OpenAI-compatible servers: time limits, retries, streams."""

"""Students that run in process: a small encoder and the heads on top of it."""

"""Other people's tests of the API, run against the gateway: ``python -m tests.conformance``."""

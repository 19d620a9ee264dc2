"""Traces of interactions over OpenTelemetry; off unless the configuration says where to."""

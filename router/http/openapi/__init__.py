"""The gateway's own OpenAPI document, and where it is served."""

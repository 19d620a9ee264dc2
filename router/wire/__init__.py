"""What goes over the wire: the dialects of clients and upstreams, and server-sent events."""

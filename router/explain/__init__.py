"""Why an interaction was answered as it was, and how a request would be answered."""

"""What a period cost and how good its answers were, from the store."""

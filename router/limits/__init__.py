"""What a caller may spend and how fast: budgets as reserve → settle, and rates as token buckets."""

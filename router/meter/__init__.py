"""Money, prices and metrics: what an interaction cost and how that is shown."""

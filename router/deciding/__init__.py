"""What decides for a workload, kept up to date: its promise, budget, slices, policy and outlook."""

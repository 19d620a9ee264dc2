"""Fine-tuning of a sentence encoder on a workload's answers; all but ``tuning`` needs [train]."""

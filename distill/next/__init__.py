"""What to learn next: where the student fails, and whether another cycle pays."""

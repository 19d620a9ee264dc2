"""Replaying recorded streams through the policy, student and learning code that serve traffic."""

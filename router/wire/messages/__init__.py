"""Anthropic's Messages form, from and to chat completions."""

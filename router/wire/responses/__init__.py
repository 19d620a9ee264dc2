"""OpenAI's Responses form, from and to chat completions."""

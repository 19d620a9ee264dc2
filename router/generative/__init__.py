"""A generative student behind any OpenAI-compatible server, such as vLLM with LoRA adapters."""

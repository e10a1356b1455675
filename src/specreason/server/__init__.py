"""The server: speculative reasoning behind the OpenAI chat API."""

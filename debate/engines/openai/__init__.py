"""Any endpoint that speaks the OpenAI protocol as engine: limits, retries, prices, and keys that stay secret."""

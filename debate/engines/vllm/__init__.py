"""vLLM as engine: in this process or as a server of its own, one LoRA adapter per request, never merged."""

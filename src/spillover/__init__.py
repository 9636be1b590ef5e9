"""What fine-tuning an LLM does to everything it was not fine-tuned on."""

__version__ = "0.1.0"

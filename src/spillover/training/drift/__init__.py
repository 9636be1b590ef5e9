"""How far fine-tuning moved a model: its weights, where and in which directions, and what it computes."""

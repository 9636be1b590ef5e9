"""Could the base already do it? How much of a tuned model's scores was to be seen in the base's in-context ones."""

"""The bridge to EleutherAI's lm-evaluation-harness (lm-eval), imported only where it is used."""

"""The kinds of work that a study consists of, each with its key, its computation, its cost and how it is read."""

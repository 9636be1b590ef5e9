"""Where the cells of a study come from: a suite's tasks, lm-eval's."""

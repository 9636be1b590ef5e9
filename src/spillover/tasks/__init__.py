"""What is asked: tasks and suites as data, and their prepared rows."""

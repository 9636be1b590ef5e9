"""Lets `python -m spillover` and `accelerate launch -m spillover` be the command line."""

from spillover.cli import main

if __name__ == "__main__":
    main()

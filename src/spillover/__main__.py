"""Starts the command line: as `spillover`, as `python -m spillover` and under `accelerate launch -m spillover`."""

import sys


def main() -> None:
    """Run the command line; an interrupt while it is still being imported is one line too."""
    try:
        from spillover.cli import main as run
    except KeyboardInterrupt:
        print("interrupted; nothing was begun", file=sys.stderr)
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()

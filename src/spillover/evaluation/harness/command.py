"""A thin command around lm-eval's own, which cannot find models of other packages by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from spillover.errors import UserError

NOT_FOUND = "Tasks not found"
"""How lm-eval's complaint about names of tasks begins; it has no class of its own."""


def run_lm_eval(arguments: Sequence[str], *, cache: Path, notice: Callable[[str], None]) -> None:
    """Run lm-eval's command line with ``--model spillover`` known to it.

    Args:
        arguments: As after ``lm-eval``, such as ``run --model spillover --model_args base=... --tasks ...``.
        cache: Where pulled models are kept.
        notice: Told licences and conversions, a line each.

    Raises:
        UserError: lm-eval is not installed, or knows no task of a given name.
    """
    try:
        from lm_eval.__main__ import cli_evaluate
    except ImportError as error:
        raise UserError(f"lm-eval is not installed ({error}); run: pip install 'spillover[harness]'") from None
    from spillover.evaluation.harness.lm import register

    register(cache=cache, notice=notice)
    sys.argv = ["lm-eval", *arguments]  # lm-eval takes its arguments from nowhere else
    try:
        cli_evaluate()
    except ValueError as error:
        if not str(error).startswith(NOT_FOUND):
            raise
        raise UserError(f"lm-eval: {error}; `spillover lm-eval ls tasks` lists what it knows") from None

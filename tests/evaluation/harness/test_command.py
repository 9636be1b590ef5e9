import sys

import pytest

from spillover.errors import UserError
from spillover.evaluation.harness.command import run_lm_eval


def test_without_lm_eval_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"lm-eval is not installed .*; run: pip install 'spillover\[harness\]'"):
        run_lm_eval(["run"], cache=tmp_path, notice=print)

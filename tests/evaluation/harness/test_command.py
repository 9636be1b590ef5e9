import sys
from importlib.util import find_spec

import pytest

from spillover.errors import UserError
from spillover.evaluation.harness.command import run_lm_eval


def test_without_lm_eval_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"lm-eval is not installed .*; run: pip install 'spillover\[harness\]'"):
        run_lm_eval(["run"], cache=tmp_path, notice=print)


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed: pip install '.[harness]'")
def test_an_unknown_task_of_lm_eval_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)  # which lm-eval's arguments take the place of
    arguments = ["run", "--model", "spillover", "--model_args", "base=x", "--tasks", "no_such_task"]
    with pytest.raises(UserError, match=r"^lm-eval: Tasks not found: no_such_task; `spillover lm-eval ls tasks` lists"):
        run_lm_eval(arguments, cache=tmp_path, notice=print)

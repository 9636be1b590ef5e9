import io

import pytest
from rich.console import Console

from spillover.progress import progress
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.runner import run_study
from tests.study.test_recipes import write_study
from tests.study.test_runner import load

VARIANTS = """
variants:
  - {name: sft, train_on: [first], sizes: [16]}
shots: [0]
test_on: [first]
watch: 2
"""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_a_training_forgets_is_shown_while_it_runs(tmp_path, is_terminal):
    study, store, shown = load(write_study(tmp_path, VARIANTS)), Store(tmp_path / "store"), io.StringIO()
    console = Console(file=shown, force_terminal=is_terminal, width=200)
    with progress(console) as observer:
        if is_terminal:
            noted = observer.noted

            def noted_and_drawn(step, note):
                noted(step, note)
                observer._bars.refresh()

            observer.noted = noted_and_drawn
        assert not run_study(study, store, Workshop(store), observer).failed
    lines = shown.getvalue().splitlines()
    for step in (0, 2, 4):
        (found, *_) = [line for line in lines if f"step {step}: loss on general text " in line]
        assert "KL to the base" in found
        if is_terminal:
            assert "fine-tune sft/first/16/0, step" in found
        else:
            assert found.startswith("    step")


def test_a_log_says_the_time_left_only_once_it_is_known(finished_study, tmp_path):
    study = load(finished_study[0])
    steps, shown = study.steps[:3], io.StringIO()
    with progress(Console(file=shown, width=200)) as observer:
        observer.planned(steps, 3.0)
        for step in steps:
            observer.started(step)
            observer.finished(step, 1.0)
    first, *later = shown.getvalue().splitlines()[1:]
    assert first == f"[1/3] {steps[0].label}"
    assert all(line.endswith(" left)") for line in later)

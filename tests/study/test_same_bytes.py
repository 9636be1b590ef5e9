"""A training writes the same bytes in every process, whatever order its sets have and however long it takes."""

import hashlib
import os
import subprocess
import sys
import textwrap

from spillover.steps.finetune import Finetune
from spillover.store.store import Store
from tests.study.made_study import make_study
from tests.study.test_runner import load

CODE = """
    import sys, torch
    from pathlib import Path
    from spillover.steps.finetune import Finetune
    from spillover.steps.workshop import Workshop
    from spillover.store.store import Store
    from spillover.study.runner import run_steps
    from tests.study.test_runner import Quiet, load
    torch.set_num_threads(1)
    study, store = load(Path(sys.argv[1])), Store(Path(sys.argv[2]))
    wanted = [step for step in study.steps if step.kind == "prepare" or isinstance(step, Finetune)]
    assert not run_steps(study, wanted, store, Workshop(store), Quiet()).failed
"""


def test_trainings_write_the_same_bytes_in_every_process(tmp_path):
    path = make_study(tmp_path / "study")
    adapter = "{parameters: {kind: lora, rank: 2}, constraint: l2-sp}"
    path.write_text(path.read_text().replace("{demonstrations: 2}", adapter))
    found = []
    for seed in ("1", "2"):
        root = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        code = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CODE), str(path), str(root)]
        assert subprocess.run(code, check=False, env=environment).returncode == 0
        files = sorted(file for file in root.glob("finetune/*/**/*") if file.is_file() and file.name != "manifest.json")
        found.append({file.relative_to(root): hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    assert {file.name for file in found[0]} >= {"adapter_config.json", "adapter_model.safetensors", "training.json"}
    assert found[0] == found[1]
    step = next(step for step in load(path).steps if isinstance(step, Finetune) and step.saves_adapter)
    assert step.log(Store(tmp_path / "1"))["recipe_report"]["extra_seconds"] > 0

from pathlib import Path

import pytest

from tests.study.made_study import make_study


@pytest.fixture(scope="session")
def made_study_file(tmp_path_factory) -> Path:
    """A study in miniature that no test changes."""
    return make_study(tmp_path_factory.mktemp("made"))


@pytest.fixture
def faulty(tmp_path) -> Path:
    """A study whose second answer can never be chosen."""
    path = make_study(tmp_path / "study")
    for name in ("first", "second"):
        rows = path.with_name(f"{name}.jsonl")
        rows.write_text(rows.read_text().replace('"down"', '"upset"'))
    suite = path.with_name("made.yaml")
    suite.write_text(suite.read_text().replace("[up, down]", "[up, upset]"))
    return path


@pytest.fixture(autouse=True)
def _no_shared_cache(monkeypatch, tmp_path_factory):
    """Keep the user's cache out of the tests."""
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory) -> tuple[Path, Path]:
    """The file of a finished study in miniature and its store; no test changes them."""
    import torch

    from spillover.config import load_study
    from spillover.steps.workshop import Workshop
    from spillover.store.store import Store
    from spillover.study.runner import run_study
    from tests.study.test_runner import Quiet

    torch.set_num_threads(1)
    path = make_study(tmp_path_factory.mktemp("finished"), more="scoring: contextual")
    store = Store(path.parent / "store")
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return path, store.root

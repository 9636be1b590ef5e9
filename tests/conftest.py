from pathlib import Path

import pytest

from tests.study.made_study import make_study


@pytest.fixture(scope="session")
def made_study_file(tmp_path_factory) -> Path:
    """A study in miniature that no test changes."""
    return make_study(tmp_path_factory.mktemp("made"))


@pytest.fixture(autouse=True)
def _no_shared_cache(monkeypatch, tmp_path_factory):
    """Keep the user's cache out of the tests."""
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))

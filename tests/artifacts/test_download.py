from pathlib import Path

import pytest

from spillover.artifacts.download import download
from spillover.artifacts.indexes import PackageIndexes
from spillover.errors import UserError
from tests.artifacts.archives import made_artifact, served, simple_index, zip_bytes

CONTENT = zip_bytes({"set/data.csv": b"text,label\n" * 40_000})
ARTIFACT = made_artifact(CONTENT)
CLOSED = "http://127.0.0.1:9/simple"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return simple_index(tmp_path / "index", ARTIFACT, CONTENT)


def test_an_index_on_a_server_is_read(index: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with served(index.parent) as address:
        indexes = PackageIndexes(endpoints=(f"{address}/simple",))
        download(ARTIFACT, tmp_path / "out", indexes, lambda done, total: seen.append((done, total)))
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_an_index_in_a_folder_is_read_through_its_page(index: Path, tmp_path: Path) -> None:
    download(ARTIFACT, tmp_path / "out", PackageIndexes(endpoints=(index.as_uri(),)))
    assert (tmp_path / "out").read_bytes() == CONTENT


@pytest.mark.parametrize("as_address", [True, False])
def test_a_folder_of_links_is_looked_into(index: Path, tmp_path: Path, as_address: bool) -> None:
    folder = index.parent / "files"
    place = folder.as_uri() if as_address else str(folder)
    download(ARTIFACT, tmp_path / "out", PackageIndexes(endpoints=(), links=(place,)))
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_a_page_of_links_on_a_server_is_read(index: Path, tmp_path: Path) -> None:
    with served(index.parent) as address:
        links = (f"{address}/simple/{ARTIFACT.name}/index.html",)
        download(ARTIFACT, tmp_path / "out", PackageIndexes(endpoints=(), links=links))
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_a_download_ends_where_it_is_larger_than_the_catalog_declares(index: Path, tmp_path: Path) -> None:
    (index.parent / "files" / ARTIFACT.filename).write_bytes(b"x" * 3_000_000)
    seen: list[int] = []
    with served(index.parent) as address:
        indexes = PackageIndexes(endpoints=(f"{address}/simple",))
        with pytest.raises(UserError, match="sends more than the 1 MB that it can have"):
            download(ARTIFACT, tmp_path / "out", indexes, lambda done, total: seen.append(done))
    assert seen[-1] < 1_200_000


def test_the_next_index_is_asked_when_one_cannot_be_reached(index: Path, tmp_path: Path) -> None:
    download(ARTIFACT, tmp_path / "out", PackageIndexes(endpoints=(CLOSED, index.as_uri())))
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_no_network_says_what_to_do_and_hides_credentials(tmp_path: Path) -> None:
    endpoint = CLOSED.replace("127", "user:secret@127", 1)
    with pytest.raises(UserError) as raised:
        download(ARTIFACT, tmp_path / "out", PackageIndexes(endpoints=(endpoint,)))
    message = str(raised.value)
    assert f"{CLOSED} cannot be reached" in message
    assert f"--from DIR, a folder that holds {ARTIFACT.filename}" in message
    assert "secret" not in message


def test_every_place_that_lacks_the_file_is_listed(index: Path, tmp_path: Path) -> None:
    other = made_artifact(b"other", name="other-set", filename="other_set-1.0.tar.gz")
    newer = made_artifact(b"newer", filename="made_set-2.0-py3-none-any.whl")
    with served(index.parent) as address:
        indexes = PackageIndexes(endpoints=(f"{address}/simple", index.as_uri()))
        with pytest.raises(UserError, match=r"/simple has no such project; file://.*/simple has no such file"):
            download(other, tmp_path / "out", indexes)
        with pytest.raises(UserError, match=r"http://.*/simple has no such file; file://.*/simple has no such file"):
            download(newer, tmp_path / "out", indexes)


def test_a_failing_server_is_named_with_its_failure(index: Path, tmp_path: Path) -> None:
    (index.parent / "files" / ARTIFACT.filename).unlink()
    with served(index.parent) as address, pytest.raises(UserError, match="/simple failed with HTTPError"):
        download(ARTIFACT, tmp_path / "out", PackageIndexes(endpoints=(f"{address}/simple",)))


@pytest.mark.parametrize("is_remote", [True, False])
def test_a_page_without_end_is_not_read_to_it(index: Path, tmp_path: Path, monkeypatch, is_remote: bool) -> None:
    page = index / ARTIFACT.name / "index.html"
    page.write_bytes(page.read_bytes() + b"<!-- -->" * 100_000)
    monkeypatch.setattr("spillover.artifacts.download.LARGEST_PAGE_BYTES", 500_000)
    with served(index.parent) as address:
        indexes = PackageIndexes(endpoints=(f"{address}/simple" if is_remote else index.as_uri(),))
        with pytest.raises(UserError, match="/simple has a page of more than 50 MB"):
            download(ARTIFACT, tmp_path / "out", indexes)
    assert not (tmp_path / "out").exists()

import hashlib
import http.server
import sys
import threading
import types
import zipfile

import pytest

from spillover.artifacts.catalog import Artifact
from spillover.errors import UserError
from spillover.tasks import source as source_module
from spillover.tasks.generated import GeneratedSource
from spillover.tasks.source import (
    FileSource,
    FolderSource,
    HubSource,
    PackageSource,
    Places,
    source_digests,
    source_rows,
)

CONTENT = b"text,label\ngood,1\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def rows(source, places):
    return [(row.file, dict(row.values)) for row in source_rows(source, places)]


@pytest.fixture
def places(tmp_path):
    return Places(suite_folder=tmp_path, cache=tmp_path / "cache")


def test_a_users_file_is_found_beside_the_suite_and_identified_by_content(places):
    (places.suite_folder / "a.csv").write_bytes(CONTENT)
    source = FileSource(file="a.csv")
    assert rows(source, places) == [("a.csv", {"text": "good", "label": "1"})]
    assert source_digests([source], places) == {"a.csv": DIGEST}


def test_a_missing_file_a_changed_file_and_an_unknown_format_are_named(places):
    with pytest.raises(UserError, match=r"a\.csv: No such file or directory; paths start at the suite's folder"):
        rows(FileSource(file="a.csv"), places)
    (places.suite_folder / "a.csv").write_bytes(CONTENT)
    with pytest.raises(UserError, match=rf"a\.csv: SHA-256 is {DIGEST}, expected 0+; restore the file"):
        rows(FileSource(file="a.csv", sha256="0" * 64), places)
    (places.suite_folder / "a.dat").write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"a\.dat: cannot tell the format from its name; set `format` to csv, tsv"):
        rows(FileSource(file="a.dat"), places)


@pytest.fixture
def release(tmp_path):
    """Serve a folder with one good file on the loopback address; gives its URL and the paths that were asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.csv").write_bytes(CONTENT)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_release_file_is_downloaded_once_and_then_read_from_the_cache(tmp_path, release):
    url, asked = release
    places = Places(tmp_path, tmp_path / "cache", base_url=url)
    source = FolderSource(folder="a.csv", sha256=DIGEST)
    assert rows(source, places) == rows(source, places) == [("a.csv", {"text": "good", "label": "1"})]
    assert asked == ["/a.csv"]
    assert source_digests([source], places) == {"a.csv": DIGEST}


def test_a_download_that_fails_or_differs_leaves_nothing_behind(tmp_path, release):
    url, _ = release
    places = Places(tmp_path, tmp_path / "cache", base_url=url)
    with pytest.raises(UserError, match=r"a\.csv: SHA-256 is .*, expected 1+; name a folder with --from"):
        rows(FolderSource(folder="a.csv", sha256="1" * 64), places)
    with pytest.raises(UserError, match=r"b\.csv: cannot be downloaded \(.*\); name a folder that has it with --from"):
        rows(FolderSource(folder="b.csv", sha256="1" * 64), places)
    assert not (tmp_path / "cache").exists()


def test_without_a_network_or_a_url_the_user_is_told_to_name_a_folder(tmp_path):
    source = FolderSource(folder="a.csv", sha256=DIGEST)
    # Port 9 (discard) of the loopback address refuses connections.
    for base_url, line in [("http://127.0.0.1:9/", "cannot be downloaded"), (None, "the suite has no base_url")]:
        with pytest.raises(UserError, match=rf"{line}.*--from"):
            rows(source, Places(tmp_path, tmp_path / "cache", base_url=base_url))


def test_a_named_release_folder_is_checked_against_the_pinned_digests(tmp_path):
    places = Places(tmp_path, tmp_path / "cache", folder=tmp_path)
    source = FolderSource(folder="a.csv", sha256=DIGEST)
    with pytest.raises(UserError, match=r"a\.csv: no such file; --from must name the folder of the release"):
        rows(source, places)
    (tmp_path / "a.csv").write_bytes(CONTENT)
    assert rows(source, places) == [("a.csv", {"text": "good", "label": "1"})]
    (tmp_path / "a.csv").write_bytes(b"other")
    with pytest.raises(UserError, match=r"a\.csv: SHA-256 is .*, expected .*; get the pinned release"):
        rows(source, places)


def test_members_of_an_archive_are_read_in_order_without_the_excluded_ones(tmp_path, monkeypatch):
    archive = tmp_path / "made-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as writer:
        for name in ("b", "a", "broken"):
            writer.writestr(f"made/{name}.txt", b"\xff" if name == "broken" else f"{name}\n\nbody")
        writer.writestr("made/rows.csv", CONTENT)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    pinned = Artifact("made", "1", archive.name, digest, 0.1, "MIT")
    monkeypatch.setattr(source_module, "artifact", lambda _: pinned)
    places = Places(tmp_path, tmp_path / "cache", folder=tmp_path)
    texts = PackageSource(package="made", member="made/*.txt", exclude=("made/broken.txt",))
    assert [(file, values["first_paragraph"]) for file, values in rows(texts, places)] == [
        ("made/a.txt", "a"),
        ("made/b.txt", "b"),
    ]
    table = PackageSource(package="made", member="made/rows.csv")
    assert rows(table, places) == [("made/rows.csv", {"text": "good", "label": "1"})]
    assert source_digests([table], places) == {"made!made/rows.csv": digest}
    with pytest.raises(UserError, match=r"no file in it matches 'made/\*\.json'; correct the suite"):
        rows(PackageSource(package="made", member="made/*.json"), places)


HUB = HubSource(hub="owner/set", split="test", revision="a" * 40)


def test_a_hub_dataset_is_read_with_the_datasets_library(places, monkeypatch):
    asked = []

    def load_dataset(*arguments, **settings):
        asked.append((arguments, settings))
        return [{"text": "x", "label": 1}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert rows(HUB, places) == [("owner/set/test", {"text": "x", "label": 1})]
    assert asked == [(("owner/set", None), {"split": "test", "revision": "a" * 40})]
    assert source_digests([HUB], places) == {"owner/set//test": "a" * 40}


def test_a_hub_dataset_that_cannot_be_loaded_is_one_line(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"'owner/set' is read with the datasets library; run: pip install"):
        rows(HUB, places)

    def load_dataset(*arguments, **settings):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(UserError, match=r"owner/set/test: cannot be loaded from the hub \(no network\); check name"):
        rows(HUB, places)


def test_a_release_file_is_found_in_its_own_folder_too(tmp_path):
    (tmp_path / "a.csv").write_bytes(CONTENT)
    source = FolderSource(folder="news/a.csv", sha256=DIGEST)
    assert rows(source, Places(tmp_path, tmp_path / "cache", tmp_path))[0][0] == "news/a.csv"
    with pytest.raises(UserError, match=r"news/b\.csv: no such file; --from must name the folder of the release"):
        rows(FolderSource(folder="news/b.csv", sha256=DIGEST), Places(tmp_path, tmp_path / "cache", tmp_path))


def test_columns_are_renamed_so_that_sources_agree(places):
    (places.suite_folder / "a.jsonl").write_bytes(b'{"instances": [{"input": "x"}]}')
    source = FileSource(file="a.jsonl", rename={"input": "instances.0.input"})
    assert [values["input"] for _, values in rows(source, places)] == ["x"]


def test_generated_rows_are_numbered_and_identified_by_what_they_hold(places):
    source = GeneratedSource(generated="copy", start=3, count=2)
    read = list(source_rows(source, places))
    assert [(row.file, row.number) for row in read] == [("generated/copy/0", 4), ("generated/copy/0", 5)]
    digests = source_digests([source], places)
    assert digests != source_digests([GeneratedSource(generated="copy", start=3, count=2, seed=1)], places)
    assert digests == source_digests([GeneratedSource(generated="copy", start=3, count=2)], places)

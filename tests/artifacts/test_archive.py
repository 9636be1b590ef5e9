import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from spillover.artifacts.archive import Limits, open_member, read_member, read_members
from spillover.errors import UserError
from tests.artifacts.archives import tar_bytes, zip_bytes

MEMBERS = {"set/a.txt": b"first", "set/deep/b.txt": b"second", "set/c.csv": b"x,y\n"}


@pytest.fixture(params=["zip", "tar"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / ("set-1.0-py3-none-any.whl" if request.param == "zip" else "set-1.0.tar.gz")
    path.write_bytes(zip_bytes(MEMBERS) if request.param == "zip" else tar_bytes(MEMBERS))
    return path


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "archive"
    path.write_bytes(content)
    return path


def _member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_member_is_read_by_its_exact_name(archive: Path) -> None:
    assert {name: read_member(archive, name) for name in MEMBERS} == MEMBERS


def test_members_are_read_by_pattern(archive: Path) -> None:
    assert dict(read_members(archive, "*")) == MEMBERS
    assert [name for name, _ in read_members(archive, "set/*.txt")] == ["set/a.txt", "set/deep/b.txt"]
    assert dict(read_members(archive, "*.csv")) == {"set/c.csv": b"x,y\n"}


def test_a_member_is_read_as_a_stream(archive: Path) -> None:
    with open_member(archive, "set/a.txt") as stream:
        assert stream.read(3) == b"fir"


@pytest.mark.parametrize("inner", [tar_bytes(MEMBERS), zip_bytes(MEMBERS)])
@pytest.mark.parametrize("outer", [tar_bytes, zip_bytes])
def test_an_archive_inside_an_archive_is_read_through_it(tmp_path: Path, outer: object, inner: bytes) -> None:
    assert callable(outer)
    path = _file(tmp_path, outer({"more/inner": inner}))
    assert read_member(path, "more/inner!set/a.txt") == b"first"
    assert dict(read_members(path, "more/inner!*.csv")) == {"more/inner!set/c.csv": b"x,y\n"}


def test_a_missing_member_is_named(archive: Path) -> None:
    with pytest.raises(UserError, match=r"no member 'set/z\.txt'; check its spelling"):
        read_member(archive, "set/z.txt")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.whl: no such archive; fetch it first"):
        read_member(tmp_path / "gone.whl", "a")


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.txt", "set/../../up.txt", "C:/x.txt", "set\\..\\x.txt"])
@pytest.mark.parametrize("make", [zip_bytes, tar_bytes])
def test_unsafe_paths_are_refused_asked_for_or_met(tmp_path: Path, make: object, name: str) -> None:
    assert callable(make)
    path = _file(tmp_path, make({name: b"x"}))
    with pytest.raises(UserError, match="has an unsafe path"):
        read_member(path, name)
    with pytest.raises(UserError, match="has an unsafe path; do not use this archive"):
        list(read_members(path, "*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = _file(tmp_path, tar_bytes({"set/a.txt": b"first"}, (_member("set/trap", kind, "a.txt"),)))
    with pytest.raises(UserError, match="'set/trap' is a link, a device or encrypted; only plain files are read"):
        read_member(path, "set/trap")
    assert read_member(path, "set/a.txt") == b"first"


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    link = zipfile.ZipInfo("set/trap")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as writer:
        writer.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link, a device or encrypted"):
        read_member(path, "set/trap")


def test_a_member_over_the_size_limit_is_refused(archive: Path) -> None:
    with pytest.raises(UserError, match=r"'set/deep/b\.txt' has 6 bytes, the limit is 5"):
        read_member(archive, "set/deep/b.txt", limits=Limits(member_bytes=5))


@pytest.mark.parametrize("make", [zip_bytes, tar_bytes])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, make: object) -> None:
    assert callable(make)
    path = _file(tmp_path, make({"bomb": bytes(20 << 20), "set/after.txt": b"x"}))
    with pytest.raises(UserError, match=r"expands from \d+ to 20971520 bytes, more than 200 times"):
        read_member(path, "bomb")


def test_a_tar_is_not_walked_past_a_bomb(tmp_path: Path) -> None:
    path = _file(tmp_path, tar_bytes({"bomb": bytes(20 << 20), "set/after.txt": b"x"}))
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read_member(path, "set/after.txt")


def test_a_bomb_inside_an_inner_archive_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, tar_bytes({"inner.whl": zip_bytes({"bomb": bytes(20 << 20)})}))
    with pytest.raises(UserError, match=r"archive!inner\.whl: member 'bomb' expands from"):
        read_member(path, "inner.whl!bomb")


@pytest.mark.parametrize("cut", [tar_bytes(MEMBERS)[:60], zip_bytes(MEMBERS)[:60], b"", b"plain text"])
def test_a_damaged_archive_is_named(tmp_path: Path, cut: bytes) -> None:
    path = _file(tmp_path, cut)
    with pytest.raises(UserError, match=r"not a readable zip, wheel or tar\.gz archive"):
        read_member(path, "set/a.txt")


def test_a_member_with_changed_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as writer:
        writer.writestr("a.txt", b"original words")
    path.write_bytes(path.read_bytes().replace(b"original", b"tampered"))
    with pytest.raises(UserError, match="not a readable zip"):
        read_member(path, "a.txt")

import gzip
import tarfile

import pytest
from hypothesis import given

from spillover.artifacts.archive import Limits, read_member, read_members
from spillover.errors import UserError
from tests.artifacts.archives import tar_bytes, zip_bytes
from tests.robust.budget import fuzzed, lengths, survives
from tests.robust.mutations import torn

MEMBERS = {"set/a.txt": b"first", "set/" + "deep/" * 40 + "b.txt": b"second" * 50, "é.csv": b"x,y\n"}


def unpacked_tar() -> bytes:
    return gzip.decompress(tar_bytes(MEMBERS))


@lengths
@pytest.mark.parametrize("kind", ["zip", "tar", "tar within its compression"])
def test_a_torn_archive_is_read_or_one_line(tmp_path, kind, count):
    path = tmp_path / "archive"
    contents = {"zip": zip_bytes(MEMBERS), "tar": tar_bytes(MEMBERS), "tar within its compression": unpacked_tar()}

    @fuzzed(count // 2)
    @given(content=torn([contents[kind]]))
    def holds(content):
        path.write_bytes(gzip.compress(content, 1) if kind.endswith("compression") else content)
        survives(lambda: [list(read_members(path, "*")), read_member(path, "set/a.txt")], tmp_path)

    holds()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_bomb_in_the_long_name_of_a_member_is_refused_before_it_is_unpacked(tmp_path, kind):
    path = tmp_path / "archive"
    size = 40 << 20
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    with gzip.open(path, "wb") as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(size))
        packed.write(unpacked_tar())
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read_member(path, "set/a.txt")


def test_many_members_that_each_expand_a_little_are_a_bomb_together(tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(zip_bytes({f"{number}.txt": bytes(1000) for number in range(50)}))
    limits = Limits(expansion=2, small_bytes=10_000)
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        list(read_members(path, "*", limits=limits))


def test_a_member_that_is_longer_than_it_declares_is_not_read_on(tmp_path):
    path = tmp_path / "archive"
    content = zip_bytes({"a.txt": b"a" * 1000})
    path.write_bytes(content.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(UserError, match="not a readable zip"):
        read_member(path, "a.txt")


def test_members_of_a_sound_archive_are_read_whole(tmp_path):
    path = tmp_path / "archive"
    for content in (zip_bytes(MEMBERS), tar_bytes(MEMBERS)):
        path.write_bytes(content)
        assert dict(read_members(path, "*")) == MEMBERS

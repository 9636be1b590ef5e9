"""Where the rows of a task come from: a package's archive, a release folder, a user's file or a hub dataset."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from spillover.artifacts.archive import read_member, read_members
from spillover.artifacts.cache import whole_file
from spillover.artifacts.catalog import artifact
from spillover.artifacts.fetch import fetch
from spillover.artifacts.files import own_path, read_whole
from spillover.errors import UserError
from spillover.settings import ONE_OR_MORE, Settings
from spillover.tasks.facts import TELLINGS
from spillover.tasks.generated import GeneratedSource
from spillover.tasks.table import Format, RawRow, table_rows

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SIZE_LIMIT_BYTES = 2**31
"""Of a user's own file."""
LARGE_BYTES = 10_000_000
"""From which on reading takes seconds, and is announced."""
_DOWNLOAD_LIMIT_BYTES = 256 * 2**20
_TIMEOUT_SECONDS = 60.0


class _Table(Settings):
    format: Format | None = None
    """Read from the file's suffix when absent."""
    header: tuple[str, ...] = ()
    """Column names of a CSV or TSV that has no header line, and of the parts of a line."""
    separator: str = ""
    """What stands between the columns of a CSV, if no comma, and of ``lines``, which are divided at the last one."""
    at: tuple[int | str, ...] = ()
    """Keys and positions that lead to the rows within a JSON file."""
    key: str = ""
    """Column for the keys of a JSON object whose values are the rows."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New column to the one it is read from, ``instances.0.input`` for one within another."""
    added_later: ClassVar[frozenset[str]] = frozenset({"separator", "at", "key", "rename"})

    def format_of(self, file: str) -> Format:
        suffix = PurePosixPath(file).suffix.removeprefix(".").replace("txt", "text")
        if self.format is not None:
            return self.format
        for known in get_args(Format):
            if suffix == known:
                return known  # type: ignore[no-any-return]
        raise UserError(f"{file}: cannot tell the format from its name; set `format` to {', '.join(get_args(Format))}")


class PackageSource(_Table):
    """Files inside a pinned archive of the Python package index."""

    package: str
    """Its name in the catalog of artifacts."""
    member: str
    """A path in the archive, ``inner.tar.gz!path`` for one in an inner archive, or a pattern with ``*``."""
    exclude: tuple[str, ...] = ()
    """Paths that the pattern matches and that are left out."""


class FolderSource(_Table):
    """A file of a published release: in the folder the user names, else downloaded from the suite's ``base_url``."""

    folder: str
    """Path within the release."""
    sha256: Sha256


class FileSource(_Table):
    """A user's own file."""

    shorthand: ClassVar[str] = "file"
    file: str
    """Path, relative to the suite's YAML file."""
    sha256: Sha256 | None = None


class HubSource(Settings):
    """A split of a dataset on the Hugging Face hub."""

    hub: str
    """``owner/name``."""
    config: str | None = None
    split: str
    revision: str = Field(pattern="^[0-9a-f]{40}$")
    """The commit; without it the rows would have no identity."""


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return "file source"
    kinds = [kind for kind in _KINDS if _has(value, kind)]
    return f"{kinds[0]} source" if len(kinds) == 1 else None


_KINDS = ("package", "folder", "generated", "file", "hub")


def _has(value: object, kind: str) -> bool:
    return kind in value if isinstance(value, Mapping) else kind in getattr(type(value), "model_fields", ())


Source = Annotated[
    Annotated[PackageSource, Tag("package source")]
    | Annotated[FolderSource, Tag("folder source")]
    | Annotated[GeneratedSource, Tag("generated source")]
    | Annotated[FileSource, Tag("file source")]
    | Annotated[HubSource, Tag("hub source")],
    Discriminator(
        _kind,
        custom_error_type="source_kind",
        custom_error_message="a source has exactly one of the settings package, folder, generated, file, hub",
    ),
]
SourceList = Annotated[
    tuple[Source, ...],
    ONE_OR_MORE,
]


class Sources(Settings):
    """The sources of each part; a part without its own is drawn from the pool."""

    pool: SourceList = ()
    train: SourceList = ()
    demonstrations: SourceList = ()
    test: SourceList = ()

    @model_validator(mode="after")
    def _has_test_rows(self) -> "Sources":
        if not self.pool and not self.test:
            raise ValueError("nothing to test on; give `pool` or `test`")
        return self

    @property
    def all(self) -> tuple[Source, ...]:
        """Every source, of every part."""
        return (*self.pool, *self.train, *self.demonstrations, *self.test)

    @property
    def false_share(self) -> float | None:
        """Share of wrong facts among the rows to train on; None where these are not facts that a program wrote."""
        told = [s for s in self.train or self.pool if isinstance(s, GeneratedSource) and s.generated in TELLINGS]
        return sum(s.count * s.false_share for s in told) / sum(s.count for s in told) if told else None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of a suite are looked for."""

    suite_folder: Path
    cache: Path
    folder: Path | None = None
    """What the user named: a folder with the release or with already downloaded archives."""
    base_url: str | None = None
    notice: Callable[[str], None] | None = None


def source_rows(source: Source, places: Places) -> Iterator[RawRow]:
    """Read all rows of a source, in the order of the source."""
    if isinstance(source, HubSource):
        yield from _hub_rows(source)
        return
    if isinstance(source, GeneratedSource):
        yield from source.rows()
        return
    for file, content in _files(source, places):
        rows = table_rows(
            content,
            file=file,
            format=source.format_of(file),
            header=source.header,
            separator=source.separator,
            at=source.at,
            key=source.key,
        )
        if not source.rename:
            yield from rows
            continue
        for row in rows:
            added = {name: row.value(column) for name, column in source.rename.items()}
            yield replace(row, values={**row.values, **added})


def source_digests(sources: Iterable[Source], places: Places) -> dict[str, str]:
    """Return what identifies each source's content, without reading more than a user's own files."""
    digests = {}
    for source in sources:
        if isinstance(source, PackageSource):
            digests[f"{source.package}!{source.member}"] = artifact(source.package).sha256
        elif isinstance(source, FolderSource):
            digests[source.folder] = source.sha256
        elif isinstance(source, GeneratedSource):
            digests[f"{source.file}/{source.start}/{source.false_share}"] = source.digest()
        elif isinstance(source, FileSource):
            digests[source.file] = source.sha256 or hashlib.sha256(_user_file(source, places)).hexdigest()
        else:
            digests[f"{source.hub}/{source.config or ''}/{source.split}"] = source.revision
    return digests


def release_file(path: str, sha256: str, places: Places) -> bytes:
    """Return one file of the suite's release, from the user's folder, the cache or the network, and check it."""
    if places.folder is not None:
        file = places.folder / path
        try:
            if not file.exists() and (places.folder / file.name).is_file():
                file = places.folder / file.name  # the user named the folder within the release
            return _checked(
                read_whole(file, at_most=SIZE_LIMIT_BYTES),
                sha256,
                str(file),
                "get the pinned release, or correct the folder",
            )
        except OSError:
            raise UserError(f"{file}: no such file; --from must name the folder of the release, which has it") from None
    cached = places.cache / "releases" / sha256
    if cached.is_file():
        return _checked(cached.read_bytes(), sha256, str(cached), "delete the file; it will be downloaded again")
    if places.base_url is None:
        raise UserError(f"{path}: the suite has no base_url to download it from; name its folder with --from")
    content = _checked(_downloaded(f"{places.base_url.rstrip('/')}/{path}"), sha256, path, "name a folder with --from")
    with whole_file(cached) as temporary:
        temporary.write_bytes(content)
    return content


def _files(source: PackageSource | FolderSource | FileSource, places: Places) -> Iterator[tuple[str, bytes]]:
    if isinstance(source, FolderSource):
        yield source.folder, release_file(source.folder, source.sha256, places)
    elif isinstance(source, FileSource):
        content = _user_file(source, places)
        if places.notice and len(content) >= LARGE_BYTES:
            places.notice(f"reading the rows of {source.file} ({len(content) / 1e6:,.0f} MB)")
        yield source.file, content
    else:
        archive = fetch(artifact(source.package), cache=places.cache, folder=places.folder, notice=places.notice)
        if "*" in source.member:
            members = sorted(read_members(archive, source.member))
        else:
            members = [(source.member, read_member(archive, source.member))]
        if not members:
            raise UserError(f"{archive}: no file in it matches {source.member!r}; correct the suite")
        yield from ((name.rpartition("!")[2], content) for name, content in members if name not in source.exclude)


def _user_file(source: FileSource, places: Places) -> bytes:
    path = places.suite_folder / own_path(source.file)
    try:
        content = read_whole(path, at_most=SIZE_LIMIT_BYTES)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or 'cannot be read'}; paths start at the suite's folder") from None
    return _checked(content, source.sha256, str(path), "restore the file or correct the suite's sha256")


def _checked(content: bytes, sha256: str | None, file: str, repair: str) -> bytes:
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise UserError(f"{file}: SHA-256 is {found}, expected {sha256}; {repair}")
    return content


def _downloaded(url: str) -> bytes:
    import urllib.error  # here, for they load what speaks TLS, which most commands never do
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read(_DOWNLOAD_LIMIT_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: cannot be downloaded ({reason}); name a folder that has it with --from") from None
    if len(content) > _DOWNLOAD_LIMIT_BYTES:
        raise UserError(f"{url}: larger than {_DOWNLOAD_LIMIT_BYTES} bytes; name a folder that has it with --from")
    return content


def _hub_rows(source: HubSource) -> Iterator[RawRow]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(
            f"the source {source.hub!r} is read with the datasets library; run: pip install 'spillover[hub]'"
        ) from None
    file = f"{source.hub}/{source.split}"
    try:
        rows = load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: cannot be loaded from the hub ({reason}); check name, split and network") from None
    for number, values in enumerate(rows, start=1):
        yield RawRow(file, number, values)

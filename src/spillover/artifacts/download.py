"""Taking one file from the package indexes: over the network, or from folders on disk that serve as one."""

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from spillover.artifacts.catalog import Artifact
from spillover.artifacts.indexes import PackageIndexes
from spillover.errors import UserError

if TYPE_CHECKING:
    import requests
    from pypi_simple import DistributionPackage

CONNECTION_RETRIES = 2
SLACK = 1.1
"""Of the declared size, which is rounded, and by some catalogs counted in units of 2**20 bytes; and a megabyte."""

LARGEST_PAGE_BYTES = 50_000_000
"""Of what an index says of one project; that of the most files has about 30 MB."""
_TOO_LARGE = f"has a page of more than {LARGEST_PAGE_BYTES / 1e6:,.0f} MB"

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in total."""


def download(artifact: Artifact, destination: Path, indexes: PackageIndexes, progress: Progress | None = None) -> None:
    """Write the artifact's file to ``destination`` from the first place that has it; the digest is not checked here.

    Raises:
        UserError: No place has it; the line says what each place answered.
    """
    import requests
    from pypi_simple import NoSuchProjectError

    reasons: list[str] = []
    places = [(place, False) for place in indexes.links] + [(place, True) for place in indexes.endpoints]
    with _session(indexes) as session:
        for place, is_index in places:
            try:
                if urlsplit(place).scheme in ("http", "https"):
                    source = _Remote(session, place, is_index, indexes.timeout_seconds)
                    taken = source.downloaded(artifact, destination, progress)
                else:
                    taken = _copied(artifact, _local_path(place) / (artifact.name if is_index else ""), destination)
                if taken:
                    return
                reasons.append(f"{_shown(place)} has no such file")
            except NoSuchProjectError:
                reasons.append(f"{_shown(place)} has no such project")
            except (requests.ConnectionError, requests.Timeout):
                reasons.append(f"{_shown(place)} cannot be reached")
            except Exception as error:  # an index answers what it likes, and an address may be none
                if (
                    isinstance(error, OSError)
                    and error.errno is not None
                    and not isinstance(error, requests.RequestException)
                ):
                    raise  # of this disk
                why = str(error) if isinstance(error, UserError) else f"failed with {type(error).__name__}"
                reasons.append(f"{_shown(place)} {why}")
    raise UserError(
        f"{artifact.filename} is not in the cache and could not be fetched ({'; '.join(reasons) or 'no index'}); "
        f"check the network and pip's index settings, or give --from DIR, a folder that holds {artifact.filename}"
    )


class _Remote:
    """One index, or one page of links, on a server."""

    def __init__(self, session: "requests.Session", place: str, is_index: bool, timeout_seconds: float) -> None:
        self._session, self._place, self._is_index, self._timeout = session, place, is_index, timeout_seconds

    def downloaded(self, artifact: Artifact, destination: Path, progress: Progress | None) -> bool:
        """Stream the file to ``destination``; False if it is not listed."""
        from pypi_simple import ProjectPage, PyPISimple

        client = PyPISimple(self._place, session=self._session)
        where = client.get_project_url(artifact.name) if self._is_index else self._place
        page = ProjectPage.from_response(self._page(where, artifact.name), artifact.name)
        package = _listed(artifact, page.packages)
        if package is None:
            return False
        tracker = _Tracker(progress, artifact)
        client.download_package(package, destination, verify=False, progress=tracker.of_total, timeout=self._timeout)
        return True

    def _page(self, address: str, project: str) -> "requests.Response":
        """Return what is answered; more than a page may have is not read to its end."""
        from pypi_simple import NoSuchProjectError, PyPISimple

        headers = {"Accept": PyPISimple().accept} if self._is_index else {}
        with self._session.get(address, timeout=self._timeout, headers=headers, stream=True) as response:
            if self._is_index and response.status_code == 404:
                raise NoSuchProjectError(project, address)
            response.raise_for_status()
            content = bytearray()
            for piece in response.iter_content(2**16):
                content += piece
                if len(content) > LARGEST_PAGE_BYTES:
                    raise UserError(_TOO_LARGE)
            response._content = bytes(content)  # as `requests` does where it reads an answer itself
        return response


class _Tracker:
    """Turns the increments that the index client reports into done and total."""

    def __init__(self, progress: Progress | None, artifact: Artifact) -> None:
        declared = artifact.size_megabytes * 1e6
        self._progress, self._total, self._done = progress, round(declared), 0
        self._limit = declared * SLACK + 1e6
        self._filename = artifact.filename

    def of_total(self, total: int | None) -> Self:
        """Take the total that the server states, if it states one."""
        self._total = total or self._total
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, increment: int) -> None:
        """Count ``increment`` more bytes; more than the catalog declares end the download."""
        self._done += increment
        if self._done > self._limit:
            raise UserError(
                f"{self._filename}: the index sends more than the {self._limit / 1e6:,.0f} MB that it can have; "
                "do not use this index, or give the file's folder with --from"
            )
        if self._progress is not None:
            self._progress(self._done, max(self._total, self._done))


def _session(indexes: PackageIndexes) -> "requests.Session":
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=CONNECTION_RETRIES))
    if indexes.certificate is not None:
        session.verify = indexes.certificate
    if indexes.proxy is not None:
        session.proxies = {"http": indexes.proxy, "https": indexes.proxy}
    return session


def _copied(artifact: Artifact, folder: Path, destination: Path) -> bool:
    """Copy the file from a folder that holds it or whose index page points at it; False if neither."""
    from pypi_simple import ProjectPage

    found = folder / artifact.filename
    page = folder / "index.html"
    if not found.is_file() and page.is_file():
        if page.stat().st_size > LARGEST_PAGE_BYTES:
            raise UserError(_TOO_LARGE)
        package = _listed(artifact, ProjectPage.from_html(artifact.name, page.read_bytes(), page.as_uri()).packages)
        found = _local_path(package.url) if package is not None else found
    if not found.is_file():
        return False
    shutil.copyfile(found, destination)
    return True


def _listed(artifact: Artifact, packages: "Iterable[DistributionPackage]") -> "DistributionPackage | None":
    return next((package for package in packages if package.filename == artifact.filename), None)


def _local_path(place: str) -> Path:
    from urllib.request import url2pathname  # here, for it loads what speaks TLS, which most commands never do

    parts = urlsplit(place)
    return Path(url2pathname(parts.path) if parts.scheme == "file" else place).expanduser().absolute()


def _shown(place: str) -> str:
    """The place without the credentials its address may carry; it may be no address at all."""
    return re.sub(r"//[^/]*@", "//", place)

import subprocess
import sys

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from spillover.artifacts.indexes import PackageIndexes, configured_indexes, parsed_indexes


def test_without_settings_the_public_index_is_asked() -> None:
    assert parsed_indexes([]) == PackageIndexes(endpoints=(PYPI_SIMPLE_ENDPOINT,))


def test_all_settings_that_matter_are_read() -> None:
    found = parsed_indexes(
        [
            "global.cert='/etc/a.pem'",
            "global.extra-index-url='file:///one/simple\\nhttps://two.example/simple'",
            "global.find-links='/wheels /more'",
            "global.index-url='https://zero.example/simple'",
            "global.proxy='http://proxy.example:8080'",
            "global.timeout='7'",
            "global.progress-bar='off'",
        ]
    )
    assert found == PackageIndexes(
        endpoints=("https://zero.example/simple", "file:///one/simple", "https://two.example/simple"),
        links=("/wheels", "/more"),
        certificate="/etc/a.pem",
        proxy="http://proxy.example:8080",
        timeout_seconds=7.0,
    )


def test_the_environment_wins_over_the_command_and_the_command_over_global() -> None:
    lines = ["global.cert='g'", "install.cert='i'", ":env:.cert='e'"]
    assert [parsed_indexes(lines[:count]).certificate for count in (1, 2, 3)] == ["g", "i", "e"]
    assert parsed_indexes(reversed(lines)).certificate == "e"


def test_no_index_leaves_only_the_links() -> None:
    found = parsed_indexes(["global.no-index='true'", "global.find-links='/wheels'"])
    assert (found.endpoints, found.links) == ((), ("/wheels",))


def test_pip_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this Python has no pip")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    assert configured_indexes().endpoints[0] == "https://mirror.example/simple"

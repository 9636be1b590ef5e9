import subprocess
import sys

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from spillover.artifacts.indexes import PackageIndexes, configured_indexes, parsed_indexes, settings_without_pip


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


PUBLIC = PYPI_SIMPLE_ENDPOINT


@pytest.mark.parametrize(
    ("environment", "endpoints"),
    [
        ({}, (PUBLIC,)),
        ({"PIP_INDEX_URL": "https://pip.example"}, ("https://pip.example",)),
        ({"UV_INDEX_URL": "https://uv.example"}, ("https://uv.example",)),
        ({"UV_DEFAULT_INDEX": "ours=https://uv.example/a=b"}, ("https://uv.example/a=b",)),
        (
            {"UV_INDEX": "one=https://one.example https://two.example"},
            (PUBLIC, "https://one.example", "https://two.example"),
        ),
        ({"PIP_EXTRA_INDEX_URL": "https://more.example", "PIP_INDEX_URL": ""}, (PUBLIC, "https://more.example")),
        ({"PIP_NO_INDEX": "1"}, ()),
    ],
)
def test_without_a_pip_variables_of_pip_and_uv_name_the_index(tmp_path, environment, endpoints):
    assert parsed_indexes(settings_without_pip(environment, home=tmp_path)).endpoints == endpoints


def test_without_a_pip_its_files_and_those_of_uv_are_read_and_variables_override_them(tmp_path):
    def found(**environment):
        return parsed_indexes(settings_without_pip(environment, home=tmp_path))

    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://file.example\ntimeout = 7\n")
    assert (found().endpoints, found().timeout_seconds) == (("https://file.example",), 7.0)
    (tmp_path / ".config/uv").mkdir()
    toml = tmp_path / ".config/uv/uv.toml"
    toml.write_text(
        '[[index]]\nurl = "https://more.example"\n[[index]]\nurl = "https://main.example"\ndefault = true\n'
    )
    assert found().endpoints == ("https://main.example", "https://more.example")
    assert found(PIP_INDEX_URL="https://pip.example").endpoints[0] == "https://pip.example"
    named = tmp_path / "named.conf"
    named.write_text("[install]\nfind-links = /wheels\n")
    assert found(PIP_CONFIG_FILE=str(named)).links == ("/wheels",)
    toml.write_text("no [toml")
    (tmp_path / ".config/pip/pip.conf").write_bytes(b"\xff no section")
    assert found().endpoints == (PUBLIC,)


def test_a_python_without_pip_is_asked_for_nothing(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example")
    assert configured_indexes().endpoints[0] == "https://pip.example"

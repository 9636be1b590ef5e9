import json

import pytest

from spillover.cli import main


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def test_lint_says_where_why_and_how_to_mend_and_exits_2_on_an_error(faulty, tmp_path, capsys):
    assert call("lint", faulty, "--store", tmp_path / "store") == 2
    printed = capsys.readouterr()
    text = " ".join(printed.out.split())
    assert "error task 'first': the tokens of the answer 'up' begin those of 'upset' (answer-prefix)" in text
    assert "why: 'upset' is never likelier than 'up'" in text
    assert "mend: rename one of them (target.map), or set scoring: pmi" in text
    assert "errors: 2, warnings: " in text
    assert "errors; `spillover run` refuses it until they are mended" in printed.err
    assert not (tmp_path / "store").exists()


def test_lint_prints_json_for_programs_and_exits_0_without_errors(made_study_file, tmp_path, capsys):
    assert call("lint", made_study_file, "--store", tmp_path / "store", "--json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"check", "severity", "where", "what", "why", "mend"} == set(findings[0])
    assert "padding" in {finding["check"] for finding in findings}


def test_run_refuses_an_error_before_it_writes_anything_and_no_lint_skips_it(faulty, tmp_path, capsys):
    options = ["--store", tmp_path / "store", "--report", tmp_path / "report", "--threads", 1]
    assert call("run", faulty, *options) == 2
    refused = capsys.readouterr().err.splitlines()
    assert refused[-1].startswith("error: task 'first': the tokens of the answer 'up' begin those of 'upset'; rename")
    assert refused[-1].endswith(f"(and 1 more: spillover lint {faulty})")
    assert any(line.startswith("warning: in-domain: 10 items show a difference only from") for line in refused[:-1])
    assert not any(line.startswith("note") for line in refused)
    assert not (tmp_path / "store").exists()
    assert call("run", faulty, *options, "--no-lint") == 0
    capsys.readouterr()
    assert call("run", faulty, *options) == 0
    assert "nothing to do" in capsys.readouterr().err

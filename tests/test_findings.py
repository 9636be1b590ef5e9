"""What the page on the paper says of studies is what the tool said."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from spillover.questions import answered
from spillover.questions.claims.words import CLAIMS
from spillover.report.write import summary_json
from tests.report.made_results import made_results

ROOT = Path(__file__).parent.parent


def _module():
    spec = importlib.util.spec_from_file_location("findings", ROOT / "docs" / "findings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


findings = _module()
MADE = made_results()
RESULTS = replace(MADE, provenance={**MADE.provenance, "cpu_seconds": 90.0})
FINDING = findings.kept(json.loads(summary_json(RESULTS, answered(RESULTS, resample_count=50))))


def test_writing_the_page_again_changes_nothing():
    page = findings.PAGE.read_text(encoding="utf-8")
    assert findings.read_findings()
    assert findings.written(page, findings.read_findings()) == page


def test_what_is_kept_has_the_outcome_of_every_claim_and_statement():
    text = findings.study_text(FINDING)
    for claim in FINDING["claims"]:
        rows = [line for line in text.splitlines() if line.startswith(f"| {claim['number']} | **{claim['outcome']}**")]
        assert len(rows) == 1
    assert sum(line.count("not tested") for line in text.splitlines()) >= 1
    assert len(json.dumps(FINDING)) < 40_000


def test_a_kept_finding_that_changes_changes_the_page():
    page = "<!-- findings made -->\nolder\n<!-- end -->"
    finding = {**FINDING, "study": "made"}
    once = findings.written(page, [finding])
    assert "older" not in once
    assert findings.written(once, [finding]) == once
    other = json.loads(json.dumps(finding))
    other["claims"][0]["outcome"] = "holds here and there"
    assert "**holds here and there**" in findings.written(once, [other])


def test_the_table_of_claims_has_every_statement():
    table = findings.claims_table().splitlines()
    assert len(table) == 2 + sum(len(claim.statements) for claim in CLAIMS)


def test_a_study_that_is_not_kept_is_named():
    with pytest.raises(ValueError, match=r"has findings of 'nobodys'; known: claims"):
        findings.written("<!-- findings nobodys -->\n<!-- end -->", [])

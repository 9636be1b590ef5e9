"""A room that is taken off the registry takes what it says with it, and nothing else."""

import re

import pytest

from spillover.analysis.analysis import Analysis, analyse
from spillover.questions import CONVERGENCE, GENERALIZATION, MIXING, QUESTIONS, RECEIPTS
from spillover.records import StudyResults
from spillover.report.markdown import markdown_section
from spillover.report.page import html_page, markdown_page
from spillover.report.section import sections_of
from spillover.report.text import LONGEST_SENTENCE, markdown
from spillover.report.write import measurements_csv, summary
from tests.questions.convergence.made_tasks import made_with_convergence
from tests.questions.mixing.test_section import design
from tests.questions.receipts.made_receipts import made_with_receipts
from tests.report.made_results import made_results

OF_VERDICTS = {"rule", "verdicts", "negative_transfer", "judged"}
"""What the summary tells of verdicts, which one question gives and others add evidence to."""
SHOWN = re.compile(r'<section id="(\w+)"')
MADE, MIXED, RECEIPTED, CONVERGED = made_results(), design(), made_with_receipts(), made_with_convergence()


def told(results: StudyResults, analysis: Analysis) -> dict[str, str]:
    """Return the questions' sections as they are written."""
    return {section.id: markdown_section(section) for section in sections_of(results, analysis)}


def without(text: str, lines: set[str]) -> str:
    """Return a section without a question's lines of evidence."""
    return "".join(line for line in text.splitlines(keepends=True) if not any(own in line for own in lines))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_room_off_the_registry_takes_its_section_and_its_keys_with_it_and_nothing_else(question) -> None:
    results = {MIXING.name: MIXED, RECEIPTS.name: RECEIPTED, CONVERGENCE.name: CONVERGED}.get(question.name, MADE)
    whole = analyse(results, QUESTIONS, resample_count=20)
    left = analyse(results, [item for item in QUESTIONS if item is not question], resample_count=20)
    finding = whole.of(question)
    assert finding is not None, "the made study must say something of it"

    own = {section.id for section in question.sections(results, whole, finding) if section.parts}
    lines = {line for found in question.evidence(finding).values() for line in found}
    before, after = told(results, whole), told(results, left)
    own_lines = {markdown(line, LONGEST_SENTENCE) for line in lines}
    assert after == {name: without(text, own_lines) for name, text in before.items() if name not in own}
    before, after = (SHOWN.findall(html_page(results, analysis)) for analysis in (whole, left))
    assert before
    assert set(before) - set(after) <= own | {question.name}
    assert after == [name for name in before if name in after]
    assert not own & set(after)

    keys = set(question.summary(finding))
    then, now = summary(results, whole), summary(results, left)
    assert set(then) - set(now) == keys
    shared = set(now) - OF_VERDICTS
    assert {key: now[key] for key in shared} == {key: then[key] for key in shared}
    if question is not GENERALIZATION:
        assert [verdict.sentence for verdict in left.verdicts] == [verdict.sentence for verdict in whole.verdicts]
    assert measurements_csv(left) == measurements_csv(whole)


def test_without_any_room_there_is_the_matrix() -> None:
    analysis = analyse(MADE, (), resample_count=20)
    assert sections_of(MADE, analysis) == []
    assert analysis.verdicts == ()
    page = html_page(MADE, analysis)
    assert "matrix" in SHOWN.findall(page)
    assert not {"frontier", "drift", "claims", "mixing"} & set(SHOWN.findall(page))
    assert "Every cell" in markdown_page(MADE, analysis)

"""The claims of the generalization paper as a question: what a study says of each, in a section of the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import interval_words, plain, signed
from spillover.question import Question
from spillover.questions.claims.claims import Claim, Part, claims
from spillover.questions.claims.words import MARGIN
from spillover.records import StudyResults
from spillover.report.section import (
    Details,
    Entry,
    Group,
    Place,
    Row,
    Section,
    Table,
    interval,
    number,
    point,
    table,
    text,
)


class ClaimsQuestion(Question[tuple[Claim, ...]]):
    """Do the eight claims of arXiv 2403.09162 hold here?"""

    name = "claims"
    asks_of_others = False  # the claims are of fine-tuning as the paper did it

    def find(self, results: StudyResults, analysis: Analysis) -> tuple[Claim, ...] | None:
        """Return every claim; None for a study of other tasks than the paper's."""
        return claims(results, analysis.scores, level=analysis.level) or None

    def sections(self, results: StudyResults, analysis: Analysis, finding: tuple[Claim, ...]) -> Sequence[Section]:
        """Return the claims with their statements, and the cells behind each mean."""
        lead = text(
            "What this study says of the eight claims of arXiv 2403.09162. A statement is judged for each kind of "
            f"metric apart. It holds when the whole {analysis.level:.0%} interval of its mean lies on the claimed "
            "side; a claim holds when all of its statements do. One statement that fails makes the claim fail, so a "
            "statement fails only when its interval at the level that all of the claim's keep together (Bonferroni) "
            "lies on the other side. “Level”, “little”, “harmless” and “near” allow "
            f"{plain(MARGIN)}. Intervals hold for other training seeds where several are told, otherwise for other "
            "items alone. The paper's figures are of a model of 7 billion weights; those marked ~ are read off a plot."
        )
        behind = [
            point(f"{claim.number}. {_statement(part)}: {'; '.join(part.cells) or 'no such cells in this study'}")
            for claim in finding
            for part in claim.parts
        ]
        parts = (lead, _table(finding), Details("The cells behind each mean", tuple(behind)))
        return [
            Section(
                "claims",
                "The paper, claim by claim",
                parts,
                Place.ITEMS,
                summary="Do the eight claims of arXiv 2403.09162 hold here?",
            )
        ]

    def summary(self, finding: tuple[Claim, ...] | None) -> Mapping[str, object]:
        """Return every claim with its outcome."""
        return {"claims": [_plain(claim) for claim in finding or ()]}


def _table(finding: tuple[Claim, ...]) -> Table:
    columns = (
        *("claim", "here", "mean of", "claimed"),
        *(number("mean"), interval(), "holds for other", number("terms"), "statement"),
    )
    made = table("The paper's claims", columns, ())
    groups = tuple(Group(tuple(_rows(claim))) for claim in finding)
    return dataclasses.replace(made, groups=groups, style="claims")


def _rows(claim: Claim) -> list[Row]:
    paper = tuple(f"Paper: {line}" for line in claim.paper)
    first = Entry(f"{claim.number}. {claim.sentence}", small=paper, rows=len(claim.parts))
    outcome = Entry(claim.outcome.value, is_strong=True, rows=len(claim.parts))
    rows: list[Row] = []
    for part in claim.parts:
        begin = (None, None) if rows else (first, outcome)
        rows.append((*begin, _statement(part), part.expected.value, *_numbers(part), part.outcome.value))
    return rows


def _statement(part: Part) -> str:
    return f"{part.statement}{f' ({part.kind})' if part.kind else ''}"


def _numbers(part: Part) -> tuple[str, ...]:
    found = part.estimate
    if found is None:
        return "–", "–", "–", "0"
    interval = interval_words(found.low, found.high)
    return signed(found.mean), interval, part.holds_for or "–", str(found.contrast_count)


def _plain(claim: Claim) -> Mapping[str, object]:
    parts = [{**dataclasses.asdict(part), "outcome": part.outcome} for part in claim.parts]
    return {**dataclasses.asdict(claim), "outcome": claim.outcome, "parts": parts}


CLAIMS = ClaimsQuestion()

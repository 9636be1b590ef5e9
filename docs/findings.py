"""Writes the page on the paper from what studies found: `python docs/findings.py [SUMMARY.json ...]`.

The findings lie in `docs/findings/`, one file a study. A report's `summary.json` that is named is cut down to what the
page needs and kept there first. Whatever stands between `<!-- findings NAME -->` and `<!-- end -->` in `docs/paper.md`
is written from them, so that the page says what the tool says.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spillover.analysis.wording import interval_words, plain, signed
from spillover.questions.claims.words import CLAIMS

DOCS = Path(__file__).parent
FINDINGS = DOCS / "findings"
PAGE = DOCS / "paper.md"

Finding = dict[str, Any]

_PART = ("statement", "kind", "expected", "holds_for", "outcome")
_ESTIMATE = ("mean", "low", "high", "contrast_count", "seed_count", "note")
_RECIPE = ("name", "trained_on", "size", "relation", "kind", "seeds", "mean_difference", "low", "high")
_PROVENANCE = ("command", "suite", "precision", "seeds", "cpu_seconds")


def kept(summary: Finding) -> Finding:
    """Return what the page needs of a report's summary."""
    claims = [
        {
            "number": claim["number"],
            "outcome": claim["outcome"],
            "parts": [
                {**_only(part, _PART), "estimate": _only(part["estimate"], _ESTIMATE) if part["estimate"] else None}
                for part in claim["parts"]
            ],
        }
        for claim in summary["claims"]
    ]
    return {
        "study": summary["study"],
        "base": summary["base"]["name"],
        "level": summary["interval"]["level"],
        "provenance": _only(summary["provenance"], _PROVENANCE),
        "claims": claims,
        "recipes": [_only(row, _RECIPE) for row in summary["recipes"]],
        "drift": [answer["sentence"] for answer in summary["drift_findings"]["answers"]],
    }


def written(page: str, findings: Sequence[Finding]) -> str:
    """Return the page with every marked part written anew.

    Raises:
        ValueError: If a mark names nothing that can be written.
    """
    parts: dict[str, Callable[[], str]] = {"claims": claims_table}
    parts |= {finding["study"]: partial(study_text, finding) for finding in findings}

    def part(match: re.Match[str]) -> str:
        if match[1] not in parts:
            raise ValueError(f"{PAGE.name} has findings of {match[1]!r}; known: {', '.join(sorted(parts))}")
        return f"<!-- findings {match[1]} -->\n\n{parts[match[1]]()}\n\n<!-- end -->"

    return re.sub(r"<!-- findings (\S+) -->.*?<!-- end -->", part, page, flags=re.S)


def claims_table() -> str:
    """Return the claims and their statements."""
    lines = ["| | claim | holds where the mean of | lies |", "| ---: | --- | --- | --- |"]
    for claim in CLAIMS:
        for index, statement in enumerate(claim.statements):
            first = (f"{claim.number}", claim.sentence) if index == 0 else ("", "")
            lines.append(f"| {first[0]} | {first[1]} | {statement.words} | {statement.expected.value} |")
    return "\n".join(lines)


def study_text(finding: Finding) -> str:
    """Return what a study found: claim by claim, then each recipe over its seeds."""
    return "\n\n".join(
        [_made_with(finding), _claims(finding), *map(_sentence, finding["drift"]), _recipes(finding)]
    ).rstrip()


def _claims(finding: Finding) -> str:
    percent = f"{finding['level']:.0%}"
    lines = [
        f"| claim | here | statement | mean | {percent} interval | holds for other | it |",
        "| ---: | --- | --- | ---: | --- | --- | --- |",
    ]
    for claim in finding["claims"]:
        for index, part in enumerate(claim["parts"]):
            first = (f"{claim['number']}", f"**{claim['outcome']}**") if index == 0 else ("", "")
            kind = f" ({part['kind']})" if part["kind"] else ""
            lines.append(
                f"| {first[0]} | {first[1]} | {part['statement']}{kind} | {_numbers(part)} | {part['outcome']} |"
            )
    return "\n".join(lines)


def _numbers(part: Finding) -> str:
    found = part["estimate"]
    if found is None:
        return "– | – | –"
    interval = interval_words(found["low"], found["high"]) if found["low"] is not None else f"none: {found['note']}"
    return f"{signed(found['mean'])} | {interval} | {part['holds_for'] or '–'}"


def _recipes(finding: Finding) -> str:
    if not finding["recipes"]:
        return ""
    lines = ["| recipe, trained on | rows | relation | less the base | seeds |", "| --- | ---: | --- | --- | ---: |"]
    for row in finding["recipes"]:
        difference = f"{signed(row['mean_difference'])} {interval_words(row['low'], row['high'])} {row['kind']}"
        lines.append(
            f"| {row['name']}, {row['trained_on']} | {row['size']} | {row['relation']} | {difference} | "
            f"{len(row['seeds'])} |"
        )
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return f"Drift: {text}."


def _made_with(finding: Finding) -> str:
    facts = finding["provenance"]
    seeds = f"training seeds {', '.join(map(str, facts['seeds']))}" if len(facts["seeds"]) > 1 else "one training seed"
    return (
        f"On {finding['base']}, {seeds}, {facts['precision']}, {plain(facts['cpu_seconds'] / 60, 0)} minutes of "
        "processor time:"
    )


def _only(facts: Finding, names: Sequence[str]) -> Finding:
    return {name: facts[name] for name in names}


def read_findings() -> list[Finding]:
    """Return every study's findings."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FINDINGS.glob("*.json"))]


def main(summaries: Sequence[str]) -> None:
    """Keep the findings of the named summaries, then write the page."""
    for name in summaries:
        finding = kept(json.loads(Path(name).read_text(encoding="utf-8")))
        text = json.dumps(finding, indent=1, ensure_ascii=False) + "\n"
        (FINDINGS / f"{finding['study']}.json").write_text(text, encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(written(page, read_findings()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The report's last sections: what was skipped, and what made the study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from spillover.records import StudyResults
from spillover.report.section import Part, Place, Section, block, point, table, text


def skipped_section(results: StudyResults) -> Section:
    """Return the cells of the grid that were not run."""
    return Section(
        "skipped",
        "Skipped cells",
        tuple(map(point, results.skipped)),
        Place.PROVENANCE,
        summary="What was asked for and could not be run, and why.",
    )


def provenance_section(results: StudyResults) -> Section:
    """Return the command, the base and what else it took to make the study."""
    rows = [
        *((f"base · {name}", value) for name, value in flat_rows(results.base)),
        *flat_rows(results.provenance),
    ]
    parts: list[Part] = []
    if command := results.provenance.get("command"):
        parts += [text("This command reproduces the study:"), block(str(command))]
    if rows:
        parts.append(table("Provenance", ("fact", "value"), rows, style="facts"))
    return Section(
        "provenance",
        "Provenance",
        tuple(parts),
        Place.PROVENANCE,
        summary="The command, versions, seeds and digests that make the study again.",
    )


def flat_rows(facts: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested facts as rows of two texts; nested names are joined by a middle dot."""
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from flat_rows(value, f"{prefix}{name} · ")
        elif isinstance(value, str):
            yield f"{prefix}{name}", value
        else:
            yield f"{prefix}{name}", json.dumps(value, default=str, ensure_ascii=False)

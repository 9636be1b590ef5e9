"""All sections of a report in their order, those that hold anything, and what stands before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import enumerated
from spillover.records import StudyResults
from spillover.report.asked import asked_section
from spillover.report.matrix import matrix_section
from spillover.report.protocol import protocol_section
from spillover.report.provenance import provenance_section, skipped_section
from spillover.report.relations import relations_section
from spillover.report.section import Details, Part, Section, Table, Text, name, sections_of, text
from spillover.report.shots import shots_section
from spillover.report.training import training_section
from spillover.report.worse import worse_section


def lead(results: StudyResults, analysis: Analysis) -> Text:
    """Return what was compared, and what a difference is."""
    count = len(results.variants)
    trained_on = enumerated(dict.fromkeys(card.trained_on for card in results.variants))
    families = enumerated(dict.fromkeys(task.family for task in results.tasks))
    shots = enumerated(sorted({scores.cell.shots for scores in results.scores}))
    return text(
        name(str(results.base.get("name", "The base model"))),
        f" was fine-tuned into {count} variant{'s' if count != 1 else ''} on ",
        name(trained_on),
        f"; then each, and the untouched base, answered the same items of {len(results.tasks)} tasks (",
        name(families),
        f") at {shots} shots (examples in the prompt). Differences are variant minus base; their {analysis.level:.0%} "
        "intervals say how far other items could move them, not "
        f"{'other demonstrations' if analysis.recipes else 'other training seeds'}.",
    )


def report_sections(results: StudyResults, analysis: Analysis) -> list[Section]:
    """Return the core's sections and the questions', in the order of the report; those without a part are left out."""
    core = (
        relations_section(results, analysis),
        matrix_section(results, analysis),
        worse_section(results),
        asked_section(results, analysis),
        shots_section(results, analysis),
        training_section(results),
        protocol_section(results),
        skipped_section(results),
        provenance_section(results),
    )
    found = [section for section in (*core, *sections_of(results, analysis)) if section.parts]
    return sorted(found, key=lambda section: section.place)


def printed_tables(results: StudyResults, analysis: Analysis) -> Iterator[Table]:
    """Yield the tables that belong in a paper and in the terminal."""
    for section in report_sections(results, analysis):
        yield from _printed(section.parts)


def _printed(parts: Iterable[Part]) -> Iterator[Table]:
    for part in parts:
        if isinstance(part, Table) and part.is_printed:
            yield part
        elif isinstance(part, Details):
            yield from _printed(part.parts)

"""The report's section on the protocol: what was tested, how exactly, and how answers were compared."""

from __future__ import annotations

from spillover.analysis.wording import counts, plain, scientific
from spillover.records import FlipFloor, StudyResults, TaskCard
from spillover.report.section import Entry, Place, Row, Section, note, number, strong, table, word, words

_SCORINGS = {
    "raw": "log-likelihood; options of each row by nats per character, unless their task says otherwise",
    "contextual": "log-likelihood less the log of their mean share after content-free inputs (contextual calibration); "
    "also where each row has options of its own",
    "pmi": "log-likelihood less that after the end of the prompt alone (pointwise mutual information); also where each "
    "row has options of its own",
    "batch": "log-likelihood less the answer's mean log share over the cell's items (batch calibration), where a task "
    "has an answer set; options of each row raw",
}


def protocol_section(results: StudyResults) -> Section:
    """Return the tested tasks and what is to be known of their scores."""
    floors = flip_floors(results)
    columns = (
        *("task", "answers", word("primary metric"), number("items"), number("majority"), number("chance")),
        *(number("flip floor"), number("nats off"), words("rows dropped"), "licence of the data"),
    )
    exactness = note(
        strong("Exactness."),
        " In every cell at a task's largest shot count a few items, always the same, were also computed one by one in "
        "float32, without a cache. The flip floor counts those whose most likely answer (for text, the first token) "
        "is another one then; “nats off” is the largest difference of an answer's log-likelihood. A study in float32 "
        "stops when that difference is above 0.001 nats; in bfloat16 it is what rounding costs, and differences "
        "between models that rest on fewer items than that share mean nothing.",
    )
    scoring = _SCORINGS[str(results.provenance.get("scoring", "raw"))]
    tasks = table("Tested tasks", columns, [_row(results, task, floors.get(task.name)) for task in results.tasks])
    parts = (tasks, exactness, note(strong("Choices."), f" Answers were compared by {scoring}."))
    return Section(
        "protocol",
        "Protocol",
        parts,
        Place.PROVENANCE,
        summary="What was asked, with how many items, how exactly, and the prompts as the models saw them.",
    )


def _row(results: StudyResults, task: TaskCard, floor: FlipFloor | None) -> Row:
    of_rows = "free text" if task.chance_accuracy is None else "options of each row"
    return (
        Entry(task.name, small=(f"{task.family}, domain {task.domain}",)),
        ", ".join(task.answers) or of_rows,
        results.metrics[task.primary_metric].name,
        str(task.item_count),
        *("–" if value is None else plain(value) for value in (task.majority_accuracy, task.chance_accuracy)),
        f"{floor.flipped_count} of {floor.item_count}" if floor else "–",
        scientific(floor.largest_difference) if floor else "–",
        counts(task.dropped),
        task.licence or "–",
    )


def flip_floors(results: StudyResults) -> dict[str, FlipFloor]:
    """Return the flip floor of each tested task that has any, over all models and cells."""
    found: dict[str, list[FlipFloor]] = {}
    for (_, cell), floor in results.flip_floors.items():
        found.setdefault(cell.tested_on, []).append(floor)
    return {
        task: FlipFloor(
            sum(floor.item_count for floor in floors),
            sum(floor.flipped_count for floor in floors),
            max(floor.largest_difference for floor in floors),
        )
        for task, floors in found.items()
    }

"""The frontier in the report: a chart and a table per task, size and kinds of metric, and recipes at one score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from spillover.analysis.wording import interval_words, plain, signed
from spillover.questions.frontier.curves import MatchedComparison, Ranged
from spillover.questions.frontier.drawing import frontier_chart, styles_of
from spillover.questions.frontier.frontier import Frontier, FrontierPoint
from spillover.report.figures import MOST_LINES
from spillover.report.section import (
    Chart,
    Column,
    Details,
    Entry,
    Panel,
    Part,
    Place,
    Row,
    Section,
    Table,
    Text,
    heading,
    name,
    note,
    number,
    table,
    text,
)

TERMS = (
    "Right: gained on its task. Up: kept elsewhere. Circled and named: on the front, no other recipe gains as much and "
    "keeps more. Lines join settings of one recipe."
)
RULE = (
    "The target score is the mean over in-domain cells, the retained score the mean over all cells out of domain and "
    "across tasks, of primary metrics that are shares, those of one kind together; every cell and every training seed "
    "weighs the same. A point is on the front when no other point, the base included, is as good in both scores and "
    "better in one. The front share says in how many of the resamples that is so."
)
MATCHING = (
    "Recipes that learn less also forget less, so they are compared where they have learnt the same: the retained "
    "score is read off the straight line between neighbouring settings, and never beyond them. A recipe with a single "
    "setting hardly ever reaches the score exactly; sweep one of its settings. Intervals are over the resamples in "
    "which the recipe reaches the score."
)
MEANS = (
    "The harmonic mean is 2TS / (T + S) of target T and retained S; it is zero where either is. Scores are as "
    "measured, not corrected for guessing."
)


def frontier_section(found: Sequence[Frontier]) -> Section:
    """Return every frontier of a study, the first one's chart in sight."""
    first, *others = found
    parts: list[Part] = [note(TERMS), _title(first), _chart(first)]
    parts.append(Details("The numbers, and recipes at one target score", (text(RULE), *_numbers(first), note(MEANS))))
    if others:
        more = tuple(part for item in others for part in (_title(item), _chart(item), *_numbers(item)))
        parts.append(Details(f"{len(others)} more: other training tasks, sizes and kinds of metric", more))
    return Section("frontier", "Which recipe keeps the most", tuple(parts), Place.ANSWER, is_open=True)


def _title(frontier: Frontier) -> Text:
    kinds = (name(frontier.target_kind), " gained, ", name(frontier.retained_kind), " kept")
    return heading("Trained on ", name(frontier.trained_on), f", {frontier.size:,} rows: ", *kinds)


def _chart(frontier: Frontier) -> Chart:
    """Return the chart, and beside it one of out-of-domain change alone where other tasks are in the first."""

    def draw() -> list[Panel]:
        panels = [Panel("everywhere else", "", frontier_chart(frontier))]
        if frontier.points[0].domain_change:
            alone = frontier_chart(frontier, domain_only=True)
            panels.append(Panel("out of domain alone", "without the other tasks", alone))
        return panels

    styles = styles_of(frontier)
    is_crowded = len(styles) > 1 + MOST_LINES
    on_front = {point.recipe for point in frontier.points if point.is_on_front}
    return Chart(
        "Gain in-domain against change elsewhere, a point per variant; the table below holds the numbers",
        draw,
        caption=f"Of {len(styles) - 1:,} recipes, only those on the front are listed and named." if is_crowded else "",
        legend=tuple(item for item in styles if item.model in on_front) if is_crowded else styles,
        is_wide=True,
    )


def _numbers(frontier: Frontier) -> list[Part]:
    parts: list[Part] = [_points(frontier)]
    for comparison in frontier.matched:
        target = f": {plain(comparison.target.value)} {_interval(comparison.target)}"
        parts += [heading("At ", name(comparison.at), target), _matched(comparison)]
    return [*parts, note(MATCHING)] if frontier.matched else parts


def _points(frontier: Frontier) -> Table:
    has_domain = frontier.points[0].domain_change is not None
    titles = ("target", "retained", "harmonic mean", "arithmetic mean", "gain", "change elsewhere")
    domain = ("change out of domain",) if has_domain else ()
    columns: list[Column | str] = ["recipe", number("seeds"), *titles, *domain, "front", number("front share")]
    base, *others = frontier.points
    rows = [_point(base, ("–",) * (2 + has_domain), "–")]
    for point in others:
        differences = [_estimated(point.gain, signed), _estimated(point.change, signed)]
        if point.domain_change:
            where = ("on the front of in-domain and out-of-domain",) if point.is_on_domain_front else ()
            differences.append(_estimated(point.domain_change, signed, *where))
        rows.append(_point(point, differences, str(point.seed_count)))
    made = table(f"Scores of the recipes trained on {frontier.trained_on}", columns, rows)
    return dataclasses.replace(made, style="frontier")


def _point(point: FrontierPoint, differences: Sequence[str | Entry], seeds: str) -> Row:
    scores = [_estimated(item, plain) for item in (point.target, point.retained, point.harmonic, point.arithmetic)]
    front = "on it" if point.is_on_front else "–"
    return (point.name, seeds, *scores, *differences, front, f"{point.front_share:.0%}")


def _matched(comparison: MatchedComparison) -> Table:
    rows: list[Row] = []
    for score in comparison.scores:
        ends = dict.fromkeys((score.lowest_target, score.highest_target))
        retained = _estimated(score.retained, plain) if score.retained else "does not reach"
        difference = _estimated(score.difference, signed) if score.difference else "–"
        rows.append((score.recipe, " to ".join(map(plain, ends)), retained, difference, f"{score.reached_share:.0%}"))
    titles = ("recipe", "target scores tried", "retained there", "against the plain recipe")
    return table(f"Retained score at {comparison.at}", (*titles, number("reached in")), rows)


def _estimated(item: Ranged, write: Callable[[float], str], *small: str) -> Entry:
    return Entry(write(item.value), small=(_interval(item), *small), is_strong=True)


def _interval(item: Ranged) -> str:
    return interval_words(item.low, item.high)

"""The report's section on what was to be seen in the base: verdicts, correlations, what exceeds it, and forecasts."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import partial

from spillover.analysis.wording import difference_words, enumerated, interval_words, named, plain, signed
from spillover.questions.convergence.beyond import Excess, beyond
from spillover.questions.convergence.correlations import Correlation
from spillover.questions.convergence.drawing import family_styles, scatter_panels
from spillover.questions.convergence.finding import Convergence, RecipeFinding
from spillover.questions.convergence.forecasts import Told
from spillover.questions.convergence.items import TaskItems
from spillover.questions.convergence.reading import SCORINGS
from spillover.records import StudyResults
from spillover.report.section import (
    Chart,
    Column,
    Details,
    Entry,
    Group,
    Part,
    Place,
    Row,
    Section,
    Table,
    heading,
    interval,
    name,
    note,
    number,
    point,
    table,
    text,
    words,
)

MOST_RECIPES = 12
"""That a section shows; a study may have hundreds."""

_ABOUT_CORRELATIONS = (
    "Base in context is each task's largest shot count. Small print: intervals for other families with tasks "
    "and items of their own, and for tasks as if those of a family had nothing in common. Within families "
    "the p-value is that of their tasks in any order. The family's other tasks are a null that knows tuned "
    "scores; where families differ in nothing it is below zero by construction."
)
_ABOUT_ITEMS = (
    "Correlation of the target's log share, less its mean over the task's items of that target, against items "
    "in any order. Error consistency (kappa) is undefined where a model is always or never right. New items "
    "are those that the tuned model gets right and the base at no shot count; lost ones the reverse."
)


def convergence_section(results: StudyResults, found: Convergence) -> Section:
    """Return a sentence a recipe on each part of the question, and the numbers behind them."""
    own, raw = (found.by(scoring)[:MOST_RECIPES] for scoring in SCORINGS)
    count = len(found.by(SCORINGS[0]))
    left_out = (
        f" Of {count} recipes the first {MOST_RECIPES} are shown, summary.json has all." if count > len(own) else ""
    )
    styles = family_styles(own)
    kind = results.base.get("kind")
    start = f"Base is the model this study starts from{f', of kind {kind}' if kind else ''}. "
    parts: tuple[Part, ...] = (
        text(
            f"{start}Scores are balanced accuracies as a part of what is above chance: 0 guesses, 1 is always right. "
            "Answers are compared after the label's mean over the cell is taken off (batch calibration); raw ones "
            f"stand below.{left_out}"
        ),
        *(point(name(one.recipe.name), f": {one.verdict.sentence}") for one in own),
        Chart(
            "Tuned scores over the base's in-context scores",
            partial(scatter_panels, own, styles),
            caption="A point is a task; on the line the tuned model does as well as the base in context.",
            legend=styles,
        ),
        correlation_table("Rank correlations of tuned scores over tasks", own),
        note(_ABOUT_CORRELATIONS),
        heading("Above the base's best"),
        *(_beyond_sentence(one, other) for one, other in zip(own, raw, strict=True)),
        heading("Forecast"),
        *_forecast_parts(found, {one.recipe.name for one in own}),
        heading("Item by item"),
        item_table("What items say", own),
        note(_ABOUT_ITEMS),
        Details("Task by task", tuple(task_table(one) for one in own)),
        Details("Answers compared raw", _raw_parts(raw)),
    )
    return Section(
        "convergence",
        "Could the base already do it?",
        parts,
        Place.CAUSES,
        summary="how much of each recipe's scores was to be seen in the base's in-context ones",
    )


def _raw_parts(raw: Sequence[RecipeFinding]) -> tuple[Part, ...]:
    return (
        *(point(name(one.recipe.name), f": {one.verdict.sentence}") for one in raw),
        correlation_table("Raw: rank correlations of tuned scores over tasks", raw),
        item_table("Raw: what items say", raw),
        *(task_table(one) for one in raw),
    )


def correlation_table(label: str, found: Sequence[RecipeFinding]) -> Table:
    """Return the claim, its nulls and what is left of it, recipe by recipe."""
    columns = (
        *(Column("tuned, with"), number("tasks"), number("families"), number("Spearman"), number("Pearson")),
        *(number("without items' noise"), number("by chance"), words("remark")),
    )
    groups = tuple(
        Group(tuple(_correlation_row(row) for row in (*one.correlations, *one.texts)), one.recipe.name) for one in found
    )
    return Table(label, columns, groups)


def _correlation_row(row: Correlation) -> Row:
    if row.spearman is None:
        return (row.label, str(row.task_count), str(row.family_count), "–", "–", "–", "–", row.note)
    small = [
        f"{where}: {interval_words(*ends)}"
        for where, ends in (("families", row.over_families), ("tasks", row.over_tasks))
        if ends[0] is not None
    ]
    pearson = Entry("–")
    if row.pearson is not None:
        ends = row.pearson_over_families
        pearson = Entry(
            plain(row.pearson), small=(f"families: {interval_words(*ends)}",) if ends[0] is not None else ()
        )
    return (
        row.label,
        str(row.task_count),
        str(row.family_count),
        Entry(plain(row.spearman), small=tuple(small)),
        pearson,
        "–" if row.without_noise is None else plain(row.without_noise),
        "–" if row.p_value is None else _chance(row.p_value),
        "",
    )


def _chance(p_value: float) -> str:
    return f"p = {p_value:.3f}" if p_value >= 0.001 else "p < 0.001"


def _beyond_sentence(own: RecipeFinding, raw: RecipeFinding) -> Part:
    """Say which tasks exceed the base under either scoring, since that depends on it."""
    told = []
    for word, one in (("calibrated", own), ("raw", raw)):
        tasks = beyond(one.excesses)
        told.append(f"{word}: {named(tasks)}" if tasks else f"{word}: none is shown to be")
    counts = enumerated(sorted({len(pair.base) for pair in own.recipe.pairs}))
    return point(
        name(own.recipe.name),
        f": tasks above the base's best of {counts} shot counts, allowing for its being picked, {'; '.join(told)}.",
    )


def _forecast_parts(found: Convergence, shown: Set[str]) -> tuple[Part, ...]:
    every = [told for told in found.forecasts if told.of in shown]
    every += [found.forgetting] if found.forgetting else []
    if not every:
        return (text("All tasks are of one family: there is none to leave out."),)
    rows = [_forecast_row(told) for told in every]
    columns = (
        *(Column("of"), Column("from"), number("units"), number("families"), number("error"), number("null's")),
        *(number("gain"), number("a new one within ±")),
    )
    caption = "Mean absolute errors, each family predicted by the others; the null is the mean of the family's others."
    return (
        *(point(name(told.of), f": {told.sentence}") for told in every),
        table("Forecasts and their null", columns, rows, caption=caption),
    )


def _forecast_row(told: Told) -> Row:
    found = told.found
    return (
        told.of,
        "base and pilot" if told.has_pilot else "base",
        str(len(told.units)),
        str(found.family_count),
        plain(found.error),
        plain(found.null_error),
        Entry(
            difference_words(found.gain, found.low, found.high),
            small=(interval_words(found.low, found.high),) if found.low is not None else (),
        ),
        "–" if found.half_width is None else plain(found.half_width),
    )


def item_table(label: str, found: Sequence[RecipeFinding]) -> Table:
    """Return the correlations over items, error consistency and what is new, recipe by recipe."""
    columns = (
        *(Column("recipe"), number("items"), number("with base in context"), number("with base at 0 shots")),
        *(number("kappa, mean"), number("undefined in"), number("new items"), number("lost items")),
    )
    return table(label, columns, [_item_row(one) for one in found])


def _item_row(one: RecipeFinding) -> Row:
    tasks = one.items.tasks
    kappas = [row.kappa for row in tasks if row.kappa is not None]
    gold = []
    for row in one.items.gold:
        small = () if row.z is None or row.p_value is None else (f"z {plain(row.z, 1)}, {_chance(row.p_value)}",)
        gold.append(Entry("–" if row.correlation is None else plain(row.correlation), small=small))
    return (
        one.recipe.name,
        f"{one.items.gold[0].unit_count:,}",
        *gold,
        plain(sum(kappas) / len(kappas)) if kappas else "–",
        f"{len(tasks) - len(kappas)} of {len(tasks)} tasks",
        f"{sum(row.new_share for row in tasks) / len(tasks):.0%}",
        f"{sum(row.lost_share for row in tasks) / len(tasks):.0%}",
    )


def task_table(found: RecipeFinding) -> Table:
    """Return one recipe's tasks, those that exceed the base most first."""
    recipe = found.recipe
    place = {pair.task.name: index for index, pair in enumerate(recipe.pairs)}
    items = {row.task: row for row in found.items.tasks}
    columns = (
        *(Column("task"), Column("family"), number("base, 0 shots"), number("in context"), number("tuned")),
        *(number("residual"), number("less base's best"), interval(), number("kappa"), number("new items")),
    )
    scores = (recipe.zero_shot, recipe.in_context, recipe.tuned, found.residuals)
    rows = [
        _task_row(row, recipe.pairs[at].task.family, [float(each[at]) for each in scores], items[row.task])
        for row in found.excesses
        for at in (place[row.task],)
    ]
    return table(f"{recipe.name}: task by task", columns, rows, caption=recipe.name)


def _task_row(row: Excess, family: str, scores: Sequence[float], items: TaskItems) -> Row:
    zero_shot, in_context, tuned, residual = scores
    return (
        row.task,
        family,
        *(plain(value) for value in (zero_shot, in_context, tuned)),
        signed(residual),
        Entry(signed(row.value), star="shown to exceed the base, after Holm's adjustment" if row.is_beyond else ""),
        interval_words(row.low, row.high),
        "undefined" if items.kappa is None else plain(items.kappa),
        f"{items.new_share:.0%}",
    )

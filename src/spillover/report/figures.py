"""The report's charts as static SVG, coloured by the page's own style so that they follow light and dark."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from spillover.analysis.analysis import Analysis
from spillover.analysis.readings import Change
from spillover.analysis.relations import RelationSummary
from spillover.records import BASE, Relation, StudyResults, TaskCard
from spillover.report.section import Panel, Series
from spillover.report.text import printable

if TYPE_CHECKING:
    import altair

COLOR_COUNT = 8
SHAPES = ("circle", "square", "diamond", "triangle-up")
DASHES = ((1, 0), (6, 3), (2, 2))
ROWS = "rows"
"""The name under which a chart finds its data."""

GUESSING = "guessing"

LOSS_POINTS = 120
"""Points of a loss curve; each is the mean of a block of steps, because single steps are noise."""

MOST_LINES = 12
"""Variants that a chart draws, a line or a panel each; the table beside it holds all."""

FOREST_WIDTH = 310
"""Pixels; with its margins less than a phone's 390 less those of the page."""

Row = Mapping[str, str | float | int]


def drawn_variants(results: StudyResults, analysis: Analysis) -> tuple[str, ...]:
    """Return what charts draw, in the study's order: of more than `MOST_LINES` variants those that fell furthest."""
    gains = {card.id: 0.0 for card in results.variants}
    for item in analysis.relations:
        gain = item.mean_difference * (1 if item.higher_is_better else -1) / (100 if item.unit == "points" else 1)
        gains[item.variant] = min(gains[item.variant], gain)
    chosen = sorted(gains, key=lambda variant: gains[variant])[:MOST_LINES]
    return tuple(variant for variant in gains if variant in chosen)


def undrawn_words(count: int, chosen: str = "that fell furthest in some relation") -> str:
    """Say which of so many variants a chart draws, with a space before it; nothing where it draws all."""
    return f" Of {count:,} variants, only the {MOST_LINES} {chosen} are drawn." if count > MOST_LINES else ""


def series_of(results: StudyResults, drawn: Collection[str] | None = None) -> tuple[Series, ...]:
    """Return the drawing style of the base and of each variant, or those drawn; colours repeat with another dash."""
    styles = [Series(BASE, "var(--series-base)", (4, 3), "circle")]
    cards = [card for card in results.variants if drawn is None or card.id in drawn]
    for index, card in enumerate(cards):
        color = f"var(--series-{index % COLOR_COUNT + 1})"
        dash = DASHES[index // COLOR_COUNT % len(DASHES)]
        styles.append(Series(card.id, color, dash, SHAPES[index % len(SHAPES)]))
    return tuple(styles)


def relation_panels(analysis: Analysis) -> tuple[Panel, ...]:
    """Draw the mean difference of every variant with its interval, one panel per relation and kind of metric.

    All panels of a kind have one scale. Of more than `MOST_LINES` variants the lowest are drawn.
    """
    order = list(Relation)
    groups: dict[tuple[Relation, str], list[RelationSummary]] = {}
    for item in sorted(analysis.relations, key=lambda item: order.index(item.relation)):
        groups.setdefault((item.relation, item.kind), []).append(item)
    panels = []
    for (relation, kind), items in groups.items():
        own = [item for item in analysis.relations if item.kind == kind]
        ends = [0.0, *(end for item in own for end in _ends(item))]
        sign = 1 if items[0].higher_is_better else -1
        drawn_items = items
        if len(items) > MOST_LINES:
            drawn_items = sorted(items, key=lambda item: sign * item.mean_difference)[:MOST_LINES]
        panels.append(Panel(f"{relation}, {kind}", "", _forest(drawn_items, (min(ends), max(ends)))))
    return tuple(panels)


def _ends(item: RelationSummary) -> tuple[float, float]:
    found = item.mean_difference
    return found if item.low is None else item.low, found if item.high is None else item.high


def _forest(items: Sequence[RelationSummary], domain: tuple[float, float]) -> Markup:
    """Draw lines below their names, so that a long name takes nothing from the line and all fits a phone."""
    import altair as alt

    colors = {
        Change.GAINED: "var(--up)",
        Change.LOST: "var(--down)",
        Change.KEPT: "var(--soft)",
        Change.UNCLEAR: "var(--muted)",
        Change.IDLE: "var(--muted)",
    }
    rows: list[Row] = [
        {
            "place": str(place),
            "variant": printable(item.variant),
            "difference": item.mean_difference,
            "low": _ends(item)[0],
            "high": _ends(item)[1],
            "change": (item.change or Change.UNCLEAR).value,
        }
        for place, item in enumerate(items)
    ]
    changes = [item.value for item in Change]
    color = alt.Color("change:N", legend=None, scale=alt.Scale(domain=changes, range=[colors[item] for item in Change]))
    shapes = ["triangle-right", "triangle-left", "square", "circle", "diamond"]
    y = alt.Y("place:N", sort=None, axis=None)
    scale = alt.Scale(domain=list(domain))
    x_axis = alt.Axis(tickCount=5)
    source = alt.Chart(alt.NamedData(name=ROWS))
    zero = source.mark_rule(color="var(--ink)", strokeWidth=1).encode(x=alt.datum(0))
    lines = source.mark_rule(strokeWidth=2.5, yOffset=7).encode(
        x=alt.X("low:Q", axis=x_axis, scale=scale), x2="high:Q", y=y, color=color
    )
    points = source.mark_point(size=70, filled=True, opacity=1, yOffset=7).encode(
        x=alt.X("difference:Q", title=None, axis=x_axis, scale=scale),
        y=y,
        color=color,
        shape=alt.Shape("change:N", legend=None, scale=alt.Scale(domain=changes, range=shapes)),
    )
    names = source.mark_text(align="left", dy=-7, limit=FOREST_WIDTH, color="var(--ink)", fontSize=12).encode(
        x=alt.value(0), y=y, text="variant:N"
    )
    chart = alt.layer(zero, lines, points, names).properties(width=FOREST_WIDTH, height=alt.Step(32))
    return svg(chart, rows, spare=14)


def shots_panels(results: StudyResults, analysis: Analysis) -> tuple[Panel, ...]:
    """Draw score by shots, one panel per tested task and prompt form, one line per model that is drawn."""
    styles = series_of(results, drawn_variants(results, analysis))
    codes = {style.model: str(index) for index, style in enumerate(styles)}
    charts: dict[tuple[int, ...], dict[str, object]] = {}  # panels of the same shots differ in their rows alone
    panels: list[Panel] = []
    for task in results.tasks:
        rows = [
            row for row in analysis.measurements if row.tested_on == task.name and row.metric == task.primary_metric
        ]
        forms = sorted({row.prompt_form for row in rows})
        for form in forms:
            means: dict[tuple[str, int], list[float]] = {}
            for row in rows:
                if row.prompt_form == form and row.variant in codes:
                    means.setdefault((row.variant, row.shots), []).append(row.value)
            shots = tuple(sorted({count for _, count in means}))
            if shots not in charts:
                charts[shots] = chart_spec(_shots_chart(styles, shots))
            points: list[Row] = [
                {"model": codes[model], "shots": count, "value": float(np.mean(values))}
                for (model, count), values in sorted(means.items(), key=lambda entry: entry[0][0] == BASE)
            ]  # the base last: its dashes show above a line that is where it is
            note = results.metrics[task.primary_metric].name + (f", prompt form {form}" if len(forms) > 1 else "")
            drawing = rendered(charts[shots], {ROWS: points, GUESSING: _guessing(task)})
            panels.append(Panel(task.name, note, drawing))
    return tuple(panels)


def _guessing(task: TaskCard) -> list[Row]:
    """Return the accuracy of guessing as the one row of its dotted line; no row where there is none."""
    value = task.chance_accuracy if task.majority_accuracy is None else task.majority_accuracy
    return [{"value": value}] if value is not None and task.primary_metric == "accuracy" else []


def _shots_chart(styles: Sequence[Series], shots: Sequence[int]) -> "altair.LayerChart | altair.FacetChart":
    import altair as alt

    chart = line_chart(
        styles,
        alt.X("shots:Q", title="shots", axis=alt.Axis(values=list(shots), grid=False, format="d")),
        alt.Y("value:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)),
        has_points=True,
    )
    guessing = alt.Chart(alt.NamedData(name=GUESSING))
    line = guessing.mark_rule(color="var(--muted)", strokeDash=[1, 3]).encode(y="value:Q")
    layered: altair.LayerChart | altair.FacetChart = (line + chart).properties(width=190, height=130)
    return layered


FORGETTING = {"general_loss": "loss on general text", "kl_to_base": "KL to the base"}


def forgetting_panels(results: StudyResults, drawn: Collection[str] | None = None) -> tuple[Panel, ...]:
    """Draw what was watched while training, one panel per quantity, one line per variant, or per one of those drawn."""
    import altair as alt

    styles, panels = series_of(results, drawn), []
    for name, title in FORGETTING.items():
        rows: list[Row] = [
            {"model": code_of(styles, card.id), "step": int(entry["step"]), "value": float(entry[name])}
            for card in results.variants
            if drawn is None or card.id in drawn
            for entry in card.training.get("forgetting", ())
        ]
        x = alt.X("step:Q", title="optimizer step", axis=alt.Axis(grid=False, format="d", tickMinStep=1))
        y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
        chart = line_chart(styles, x, y, has_points=True).properties(width=270, height=150)
        panels.append(Panel(title, "nats per token", svg(chart, rows)))
    return tuple(panels)


def loss_chart(results: StudyResults, drawn: Collection[str] | None = None) -> Markup:
    """Draw the training losses, one line per variant, or per one of those drawn."""
    import altair as alt

    styles = series_of(results, drawn)
    rows: list[Row] = []
    for card in results.variants:
        if drawn is not None and card.id not in drawn:
            continue
        losses = np.asarray(card.training.get("losses", ()), dtype=np.float64)
        blocks = np.array_split(losses, min(LOSS_POINTS, len(losses))) if len(losses) else []
        step = 0
        for block in blocks:
            step += len(block)
            rows.append({"model": code_of(styles, card.id), "step": step, "value": float(block.mean())})
    x = alt.X("step:Q", title="optimizer step", axis=alt.Axis(grid=False, format="d", tickMinStep=1))
    y = alt.Y("value:Q", title="nats per target token", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    return svg(line_chart(styles, x, y, has_points=False).properties(width=640, height=190), rows)


def code_of(styles: Sequence[Series], model: str) -> str:
    """Return what stands for a model in a chart's rows, whatever its name holds."""
    return str([style.model for style in styles].index(model))


def line_chart(
    styles: Sequence[Series], x: "altair.X", y: "altair.Y", *, has_points: bool
) -> "altair.LayerChart | altair.FacetChart":
    """Return a chart of one line a model, of rows whose ``model`` is that of `code_of`."""
    import altair as alt

    domain = [str(index) for index in range(len(styles))]
    color = alt.Color("model:N", legend=None, scale=alt.Scale(domain=domain, range=[item.color for item in styles]))
    dash = alt.Scale(domain=domain, range=[list(item.dash) for item in styles])
    source = alt.Chart(alt.NamedData(name=ROWS)).encode(x=x, y=y, color=color)
    chart = alt.layer(
        source.mark_line(strokeWidth=2).encode(strokeDash=alt.StrokeDash("model:N", legend=None, scale=dash))
    )
    if has_points:
        shape = alt.Scale(domain=domain, range=[item.shape for item in styles])
        points = source.mark_point(size=42, filled=True, opacity=1)
        chart = chart + points.encode(shape=alt.Shape("model:N", legend=None, scale=shape))
    return chart


def svg(chart: "altair.TopLevelMixin", rows: Sequence[Row], *, spare: float = 4) -> Markup:
    """Render a chart with ``spare`` pixels on its left."""
    return rendered(chart_spec(chart, spare=spare), {ROWS: rows})


def chart_spec(chart: "altair.TopLevelMixin", *, spare: float = 4) -> dict[str, object]:
    """Return a chart's Vega-Lite without its rows, since altair copies and checks everything it holds at every step."""
    axis = {f"{part}Color": "var(--line)" for part in ("domain", "tick", "grid")}
    axis |= {f"{part}Color": "var(--soft)" for part in ("label", "title")}
    styled = chart.configure(
        background="transparent",
        padding={"left": spare, "right": 14, "top": 4, "bottom": 4},
        font="system-ui, sans-serif",
        view={"stroke": None},
        axis={**axis, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelFlush": False},
        axisLeft={"titlePadding": 12},
        header={"labelColor": "var(--ink)", "labelFontSize": 12},
    )
    return dict(styled.to_dict())


def rendered(spec: Mapping[str, object], datasets: Mapping[str, Sequence[Row]]) -> Markup:
    """Render a chart with its rows; Vega escapes the text in it, and nothing is fetched."""
    import vl_convert

    return Markup(vl_convert.vegalite_to_svg({**spec, "datasets": dict(datasets)}, allowed_base_urls=[]))

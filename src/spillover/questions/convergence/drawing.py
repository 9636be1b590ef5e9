"""The scatter of tuned scores over the base's in-context ones, task by task."""

from collections.abc import Sequence

from markupsafe import Markup

from spillover.questions.convergence.finding import RecipeFinding
from spillover.report.figures import COLOR_COUNT, ROWS, SHAPES, Row, svg
from spillover.report.section import Panel, Series
from spillover.report.text import printable


def family_styles(found: Sequence[RecipeFinding]) -> tuple[Series, ...]:
    """Return the drawing style of each family; a colour that comes again has another shape."""
    families = dict.fromkeys(pair.task.family for one in found for pair in one.recipe.pairs)
    return tuple(
        Series(
            family,
            f"var(--series-{index % COLOR_COUNT + 1})",
            (1, 0),
            SHAPES[(index + index // COLOR_COUNT) % len(SHAPES)],
        )
        for index, family in enumerate(families)
    )


def scatter_panels(found: Sequence[RecipeFinding], styles: Sequence[Series]) -> tuple[Panel, ...]:
    """Draw one panel a recipe; on the line the tuned model does as well as the base in context."""
    return tuple(Panel(printable(one.recipe.name), "", _scatter(one, styles)) for one in found)


def _scatter(found: RecipeFinding, styles: Sequence[Series]) -> Markup:
    import altair as alt

    code = {style.model: str(index) for index, style in enumerate(styles)}
    rows: list[Row] = [
        {"family": code[pair.task.family], "base": float(base), "tuned": float(tuned)}
        for pair, base, tuned in zip(found.recipe.pairs, found.recipe.in_context, found.recipe.tuned, strict=True)
    ]
    values = [float(row[side]) for row in rows for side in ("base", "tuned")]
    ends = [min(0.0, *values), max(0.0, *values)]
    domain = [str(index) for index in range(len(styles))]
    color = alt.Scale(domain=domain, range=[style.color for style in styles])
    shape = alt.Scale(domain=domain, range=[style.shape for style in styles])
    source, axis, scale = alt.Chart(alt.NamedData(name=ROWS)), alt.Axis(tickCount=5), alt.Scale(domain=ends)
    line = source.mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(
        x=alt.datum(ends[0], scale=scale),
        y=alt.datum(ends[0], scale=scale),
        x2=alt.datum(ends[1]),
        y2=alt.datum(ends[1]),
    )
    points = source.mark_point(size=55, filled=True, opacity=1).encode(
        x=alt.X("base:Q", title="base in context", axis=axis, scale=scale),
        y=alt.Y("tuned:Q", title="tuned, at 0 shots", axis=axis, scale=scale),
        color=alt.Color("family:N", legend=None, scale=color),
        shape=alt.Shape("family:N", legend=None, scale=shape),
    )
    return svg(alt.layer(line, points).properties(width=240, height=240), rows)

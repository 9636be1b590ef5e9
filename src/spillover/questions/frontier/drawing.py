"""The frontier's chart: what each recipe gains on its task against what it keeps elsewhere."""

from markupsafe import Markup

from spillover.questions.frontier.frontier import Frontier
from spillover.records import BASE
from spillover.report.figures import COLOR_COUNT, DASHES, ROWS, SHAPES, Row, svg
from spillover.report.section import Series
from spillover.report.text import printable

BASE_STYLE = Series(BASE, "var(--series-base)", (1, 0), "circle")


def styles_of(frontier: Frontier) -> tuple[Series, ...]:
    """Return the drawing style of the base and of each recipe; a colour that comes again has another shape."""
    recipes = dict.fromkeys(point.recipe for point in frontier.points[1:])
    styles = [
        Series(
            recipe,
            f"var(--series-{index % COLOR_COUNT + 1})",
            DASHES[index // COLOR_COUNT % len(DASHES)],
            SHAPES[(index + index // COLOR_COUNT) % len(SHAPES)],
        )
        for index, recipe in enumerate(recipes)
    ]
    return (BASE_STYLE, *styles)


def frontier_chart(frontier: Frontier, *, domain_only: bool = False) -> Markup:
    """Draw gain in-domain against change elsewhere; a recipe's points are joined, points on the front are named.

    Args:
        frontier: The points.
        domain_only: Whether elsewhere is the same kind of task on other data alone.
    """
    import altair as alt

    styles = styles_of(frontier)
    base, *variants = frontier.points
    code = {style.model: str(index + 1) for index, style in enumerate(styles[1:])}
    places = {
        point.name: (point.gain.value, found.value)
        for point in frontier.points
        if (found := point.domain_change if domain_only else point.change)
    }
    rows: list[Row] = [
        {"kind": "piece", "recipe": code[recipe], "gain": x, "change": y, "gain2": x2, "change2": y2}
        for recipe, ends in _pieces(frontier)
        for (x, y), (x2, y2) in [(places[ends[0]], places[ends[1]])]
    ]
    for recipe, point in [("0", base), *((code[point.recipe], point) for point in variants)]:
        gain, change = places[point.name]
        place: Row = {"recipe": recipe, "gain": gain, "change": change}
        rows.append({"kind": "point", **place})
        if point.is_on_domain_front if domain_only else point.is_on_front:
            rows.append({"kind": "front", **place, "name": printable(point.name)})
    domain = [str(index) for index in range(len(styles))]
    colors = alt.Scale(domain=domain, range=[style.color for style in styles])
    shapes = alt.Scale(domain=domain, range=[style.shape for style in styles])
    dashes = alt.Scale(domain=domain, range=[list(style.dash) for style in styles])
    source = alt.Chart(alt.NamedData(name=ROWS))
    x = alt.X("gain:Q", title="gain in-domain", axis=alt.Axis(tickCount=5))
    where = "change out of domain" if domain_only else "change out of domain and across tasks"
    y = alt.Y("change:Q", title=where, axis=alt.Axis(tickCount=5))
    color = alt.Color("recipe:N", legend=None, scale=colors)
    pieces = (
        source.transform_filter(alt.datum.kind == "piece")
        .mark_rule(strokeWidth=1.5)
        .encode(x=x, y=y, x2="gain2:Q", y2="change2:Q", color=color)
        .encode(strokeDash=alt.StrokeDash("recipe:N", legend=None, scale=dashes))
    )
    points = source.transform_filter(alt.datum.kind == "point").mark_point(size=55, filled=True, opacity=1)
    front = source.transform_filter(alt.datum.kind == "front").encode(x=x, y=y)
    chart = alt.layer(
        source.mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(x=alt.datum(0)),
        source.mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(y=alt.datum(0)),
        pieces,
        points.encode(x=x, y=y, color=color, shape=alt.Shape("recipe:N", legend=None, scale=shapes)),
        front.mark_point(size=190, filled=False, color="var(--ink)", strokeWidth=1.2, opacity=1),
        front.mark_text(align="left", dx=9, dy=-9, limit=160, color="var(--ink)").encode(text="name:N"),
    )
    return svg(chart.properties(width=290, height=230), rows)


def _pieces(frontier: Frontier) -> list[tuple[str, tuple[str, str]]]:
    """Return each segment's recipe and its two names; the recipe is that of the end which is not the base."""
    recipes = {point.name: point.recipe for point in frontier.points[1:]}
    return [(recipes[ends[1]], ends) for ends in frontier.segments]

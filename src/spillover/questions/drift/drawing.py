"""The charts of drift: where in the model the weights moved, and how similar its hidden states stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from spillover.report.figures import ROWS, Row, chart_spec, code_of, line_chart, rendered, svg
from spillover.report.section import Panel, Series

if TYPE_CHECKING:
    import altair

Measured = Mapping[str, Mapping[str, Any]]
"""Variant to what was measured of its drift."""


def heat_maps(measured: Measured) -> tuple[Panel, ...]:
    """Draw the relative norm of the weight change per layer and module type, one panel a variant, on one scale."""
    largest = max((row["relative_norm"] for drift in measured.values() for row in drift["modules"]), default=0.0)
    note = f"relative norm, full colour at {largest:.2g}"
    charts: dict[tuple[tuple[str, ...], ...], dict[str, object]] = {}  # maps of one model differ in their rows alone
    panels = []
    for variant, drift in measured.items():
        rows: list[Row] = [
            {"layer": str(row["layer"]), "module": str(row["module"]), "value": float(row["relative_norm"])}
            for row in drift["modules"]
        ]
        layers, types = names = tuple(
            tuple(dict.fromkeys(str(row[name]) for row in rows)) for name in ("layer", "module")
        )
        if names not in charts:
            charts[names] = chart_spec(_heat_map(layers, types, largest), spare=28)
        panels.append(Panel(variant, note, rendered(charts[names], {ROWS: rows})))
    return tuple(panels)


def _heat_map(layers: Sequence[str], types: Sequence[str], largest: float) -> altair.Chart:
    import altair as alt

    axis = alt.Axis(title=None, labelAngle=-50, labelOverlap="greedy", domain=False, ticks=False)
    shade = alt.Scale(type="sqrt", domain=[0, largest or 1], range=[0.04, 1])
    chart: altair.Chart = (
        alt.Chart(alt.NamedData(name=ROWS))
        .mark_rect(color="var(--series-1)")
        .encode(
            x=alt.X("layer:O", sort=list(layers), axis=axis),
            y=alt.Y("module:O", sort=list(types), axis=alt.Axis(title=None, domain=False, ticks=False)),
            fillOpacity=alt.FillOpacity("value:Q", legend=None, scale=shade),
        )
    )
    return chart.properties(width=alt.Step(9), height=alt.Step(15))


def similarity_chart(measured: Measured, styles: Sequence[Series]) -> Markup:
    """Draw the similarity (CKA) of each depth's hidden states to the base's, one line per variant."""
    import altair as alt

    rows: list[Row] = [
        {"model": code_of(styles, variant), "depth": depth, "value": float(value)}
        for variant, drift in measured.items()
        for depth, value in enumerate(drift["probe"]["similarity"])
    ]
    x = alt.X("depth:Q", title="layers passed", axis=alt.Axis(grid=False, format="d", tickMinStep=1))
    y = alt.Y("value:Q", title="linear CKA", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    return svg(line_chart(styles, x, y, has_points=False).properties(width=640, height=150), rows)

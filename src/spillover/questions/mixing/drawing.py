"""The mixing section's charts: what added data does, by amount, and what is kept elsewhere."""

from collections.abc import Mapping, Sequence
from functools import partial

from spillover.questions.mixing.gains import ArmResult
from spillover.report.figures import COLOR_COUNT, DASHES, ROWS, SHAPES, Row, svg
from spillover.report.section import Chart, Panel, Series

_NUMBERS = "the table of arms holds the numbers"


def amount_chart(results: Sequence[ArmResult]) -> Chart | None:
    """Return gain against rows of the target, or of general data where the target's do not vary; lines name coverage.

    None where no arm comes in several amounts.
    """
    by_target_rows: dict[str, dict[int, ArmResult]] = {}
    by_general_rows: dict[str, dict[int, ArmResult]] = {}
    for item in results:
        arm = item.arm
        if item.gain is None or arm.kind == "extra-steps":
            continue
        by_target_rows.setdefault(f"{arm.whole_target}, {arm.name}", {})[arm.target_rows] = item
        if arm.general and arm.kind == "target+general":
            line = f"{arm.whole_target}, {arm.target_rows} rows, {arm.budget}, {arm.order}"
            by_general_rows.setdefault(line, {})[arm.general_rows] = item
    for title, lines in (("rows of the target", by_target_rows), ("rows of general data", by_general_rows)):
        if several := {name: line for name, line in lines.items() if len(line) > 1}:
            styles = _styles([_with_coverage(name, line) for name, line in several.items()])
            return Chart(
                f"Gain against amount of data, a line per arm; {_NUMBERS}",
                partial(_amount_panels, title, list(several.values()), styles),
                caption=f"Gain over the target alone with its interval, against {title}.",
                legend=styles,
            )
    return None


def _with_coverage(name: str, line: Mapping[int, ArmResult]) -> str:
    numbers = sorted({f"{item.arm.coverage:.1f}" for item in line.values() if item.arm.coverage is not None})
    return f"{name} (coverage {' to '.join(dict.fromkeys((numbers[0], numbers[-1])))})" if numbers else name


def _amount_panels(title: str, lines: Sequence[Mapping[int, ArmResult]], styles: tuple[Series, ...]) -> list[Panel]:
    import altair as alt

    rows: list[Row] = [
        {
            "line": str(index),
            "amount": amount,
            "gain": gain.mean,
            "low": gain.mean if gain.low is None else gain.low,
            "high": gain.mean if gain.high is None else gain.high,
        }
        for index, line in enumerate(lines)
        for amount, item in sorted(line.items())
        if (gain := item.gain)
    ]
    amounts = sorted({amount for line in lines for amount in line})
    scale = alt.Scale(type="log" if amounts[0] > 0 else "linear", nice=False, padding=16)
    x = alt.X("amount:Q", title=title, scale=scale, axis=alt.Axis(values=amounts, grid=False, format="d"))
    color, shape = _encodings(styles)
    source = alt.Chart(alt.NamedData(name=ROWS))
    y = alt.Y("gain:Q", title="gain over the target alone", axis=alt.Axis(tickCount=6))
    chart = alt.layer(
        source.mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(y=alt.datum(0)),
        source.mark_rule(opacity=0.7, strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=color),
        source.mark_line(strokeWidth=2).encode(x=x, y=y, color=color),
        source.mark_point(size=55, filled=True, opacity=1).encode(x=x, y=y, color=color, shape=shape),
    ).properties(width=560, height=240)
    return [Panel("", "", svg(chart, rows))]


def retention_chart(results: Sequence[ArmResult]) -> Chart | None:
    """Return what is kept on unseen tasks against the gain on the target, one panel per target and size.

    None where no tested task is unseen.
    """
    groups: dict[tuple[str, int], list[ArmResult]] = {}
    for item in results:
        if item.elsewhere is not None and (item.gain is not None or item.arm.kind == "alone"):
            groups.setdefault((item.arm.whole_target, item.arm.size), []).append(item)
    if not groups:
        return None
    names = list(dict.fromkeys(item.arm.name for group in groups.values() for item in group))
    styles = _styles(names)
    return Chart(
        f"Change on unseen tasks against gain on the target; {_NUMBERS}",
        partial(_retention_panels, groups, names, styles),
        legend=styles,
        is_wide=True,
    )


def _retention_panels(
    groups: Mapping[tuple[str, int], Sequence[ArmResult]], names: Sequence[str], styles: tuple[Series, ...]
) -> list[Panel]:
    import altair as alt

    color, shape = _encodings(styles)
    panels = []
    for (target, size), group in groups.items():
        rows: list[Row] = [
            {
                "line": str(names.index(item.arm.name)),
                "gain": item.gain.mean if item.gain else 0.0,
                "kept": item.elsewhere.mean,
            }
            for item in group
            if item.elsewhere
        ]
        source = alt.Chart(alt.NamedData(name=ROWS))
        x = alt.X("gain:Q", title="gain on the target over the target alone", axis=alt.Axis(tickCount=5))
        y = alt.Y("kept:Q", title="change on unseen tasks", axis=alt.Axis(tickCount=5))
        chart = alt.layer(
            source.mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(x=alt.datum(0)),
            source.mark_rule(color="var(--muted)", strokeDash=[2, 3]).encode(y=alt.datum(0)),
            source.mark_point(size=60, filled=True, opacity=1).encode(x=x, y=y, color=color, shape=shape),
        ).properties(width=320, height=220)
        panels.append(Panel(target, f"{size} rows", svg(chart, rows)))
    return panels


def _styles(names: Sequence[str]) -> tuple[Series, ...]:
    """Return a style for each name; a colour that comes again has another shape."""
    return tuple(
        Series(name, f"var(--series-{index % COLOR_COUNT + 1})", DASHES[0], SHAPES[(index + index // COLOR_COUNT) % 4])
        for index, name in enumerate(names)
    )


def _encodings(styles: Sequence[Series]) -> tuple[object, object]:
    import altair as alt

    domain = [str(index) for index in range(len(styles))]
    color = alt.Scale(domain=domain, range=[style.color for style in styles])
    shape = alt.Scale(domain=domain, range=[style.shape for style in styles])
    return alt.Color("line:N", legend=None, scale=color), alt.Shape("line:N", legend=None, scale=shape)

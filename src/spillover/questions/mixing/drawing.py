"""The mixing section's heat maps and charts: what added data does, by amount, and what is kept elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from spillover.analysis.contrasts import Estimate
from spillover.analysis.wording import interval_words, signed
from spillover.questions.mixing.gains import ArmResult
from spillover.questions.mixing.mixing import Mixing, SynergyMatrix
from spillover.report.figures import COLOR_COUNT, DASHES, ROWS, SHAPES, Row, svg
from spillover.report.section import Panel, Series
from spillover.report.tables import TINTS


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One entry of a heat map."""

    difference: str
    interval: str
    tint: str
    """``flat``, ``up1`` .. ``up4`` or ``down1`` .. ``down4``."""
    is_clear: bool


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A synergy matrix with its tints."""

    matrix: SynergyMatrix
    rows: tuple[tuple[str, tuple[HeatCell | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class ChartView:
    """A chart and the legend of its lines."""

    styles: tuple[Series, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class MixingView:
    """What the mixing section draws."""

    heat_maps: tuple[HeatMap, ...]
    amount: ChartView | None
    """None where no arm comes in several amounts."""
    retention: ChartView | None
    """None where no tested task is unseen."""


def mixing_view(mixing: Mixing | None) -> MixingView | None:
    """Return the drawings of the section; None where there is none."""
    if mixing is None:
        return None
    maps = tuple(HeatMap(matrix, _heat_rows(matrix)) for matrix in mixing.matrices)
    return MixingView(maps, amount_chart(mixing.arms), retention_chart(mixing.arms))


def _heat_rows(matrix: SynergyMatrix) -> tuple[tuple[str, tuple[HeatCell | None, ...]], ...]:
    return tuple(
        (target, tuple(None if entry is None else heat_cell(entry) for entry in entries))
        for target, entries in zip(matrix.targets, matrix.entries, strict=True)
    )


def heat_cell(entry: Estimate) -> HeatCell:
    """Return a difference with the tint of its size."""
    level = sum(abs(entry.mean) >= threshold for threshold in TINTS)
    return HeatCell(
        difference=signed(entry.mean),
        interval=interval_words(entry.low, entry.high),
        tint=f"{'up' if entry.mean > 0 else 'down'}{level}" if level else "flat",
        is_clear=entry.is_above_zero or entry.is_below_zero,
    )


def amount_chart(results: Sequence[ArmResult]) -> ChartView | None:
    """Draw gain against rows of the target, or of general data where the target's do not vary; lines name coverage."""
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
            return _amount_view(title, {_with_coverage(name, line): line for name, line in several.items()})
    return None


def _with_coverage(name: str, line: dict[int, ArmResult]) -> str:
    numbers = sorted({f"{item.arm.coverage:.1f}" for item in line.values() if item.arm.coverage is not None})
    return f"{name} (coverage {' to '.join(dict.fromkeys((numbers[0], numbers[-1])))})" if numbers else name


def _amount_view(title: str, lines: dict[str, dict[int, ArmResult]]) -> ChartView:
    import altair as alt

    styles = _styles(list(lines))
    rows: list[Row] = [
        {
            "line": str(index),
            "amount": amount,
            "gain": gain.mean,
            "low": gain.mean if gain.low is None else gain.low,
            "high": gain.mean if gain.high is None else gain.high,
        }
        for index, line in enumerate(lines.values())
        for amount, item in sorted(line.items())
        if (gain := item.gain)
    ]
    amounts = sorted({amount for line in lines.values() for amount in line})
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
    return ChartView(styles, (Panel("Gain by amount", title, svg(chart, rows)),))


def retention_chart(results: Sequence[ArmResult]) -> ChartView | None:
    """Draw what is kept on unseen tasks against the gain on the target, one panel per target and size."""
    import altair as alt

    groups: dict[tuple[str, int], list[ArmResult]] = {}
    for item in results:
        if item.elsewhere is not None and (item.gain is not None or item.arm.kind == "alone"):
            groups.setdefault((item.arm.whole_target, item.arm.size), []).append(item)
    if not groups:
        return None
    names = list(dict.fromkeys(item.arm.name for group in groups.values() for item in group))
    styles = _styles(names)
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
    return ChartView(styles, tuple(panels))


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

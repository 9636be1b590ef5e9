"""The report's section on shots: a small chart per tested task of every model's score by demonstrations shown."""

from __future__ import annotations

from spillover.analysis.analysis import Analysis
from spillover.records import StudyResults
from spillover.report.figures import drawn_variants, series_of, shots_panels, undrawn_words
from spillover.report.section import Chart, Place, Section


def shots_section(results: StudyResults, analysis: Analysis) -> Section:
    """Return the charts; nothing of a study of one shot count, whose scores the matrix holds."""
    chart = Chart(
        "Score by shots, a line per model; the matrix holds the numbers",
        lambda: shots_panels(results, analysis),
        caption="The dotted line is majority accuracy, or chance where each row has options of its own. Several "
        f"demonstration seeds are averaged.{undrawn_words(len(results.variants))}",
        legend=series_of(results, drawn_variants(results, analysis)),
    )
    has_several = len({scores.cell.shots for scores in results.scores}) > 1
    return Section(
        "shots",
        "Scores by shots",
        (chart,) if has_several else (),
        Place.CELLS,
        summary="Does a variant still learn from demonstrations in its prompt?",
    )

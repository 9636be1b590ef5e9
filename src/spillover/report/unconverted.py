"""What the templates of sections that are not yet data are filled with."""

from __future__ import annotations

from spillover.analysis.analysis import Analysis
from spillover.questions.drift.rows import correlation_rows, drift_facts, drift_rows
from spillover.questions.frontier.drawing import frontier_views
from spillover.questions.mixing.drawing import mixing_view
from spillover.records import StudyResults
from spillover.report import figures


def unconverted(results: StudyResults, analysis: Analysis) -> dict[str, object]:
    """Return the templates' variables."""
    from types import SimpleNamespace

    found = analysis.findings
    mixing, frontiers = found.get("mixing"), found.get("frontier", ())
    return {
        "analysis": SimpleNamespace(**vars(analysis), mixing=mixing, frontiers=frontiers, drift=found.get("drift")),
        "mixing_view": mixing_view(mixing),
        "frontiers": frontier_views(frontiers),
        "series": figures.series_of(results),
        "heat_maps": figures.drift_heat_maps(results),
        "similarity_chart": figures.similarity_chart(results) if any(card.drift for card in results.variants) else None,
        "forgetting": (),
        "drift": drift_rows(results, analysis),
        **drift_facts(results),
        "drift_correlations": correlation_rows(analysis),
    }

"""The report as one HTML page that needs nothing else, and as Markdown."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from spillover.analysis.analysis import Analysis
from spillover.analysis.relations import RelationSummary
from spillover.analysis.wording import interval_words, plain, signed
from spillover.questions.drift.rows import correlation_rows, drift_facts, drift_rows, forgetting_rows
from spillover.questions.frontier.drawing import frontier_views
from spillover.questions.generalization.verdicts import LABEL_SHARE_MENTIONED, RULE, TASK_FACTOR
from spillover.records import BASE, PromptCard, StudyResults
from spillover.report import figures, tables
from spillover.report.explorer import explorer
from spillover.report.html import html_section
from spillover.report.markdown import markdown_section
from spillover.report.section import Place, sections_of
from spillover.report.text import LIGHT_SYMBOLS, LONGEST_SENTENCE, markdown, printable, visible
from spillover.report.training import recipe_rows, source_rows

TEMPLATES = Path(__file__).parent / "templates"

PROMPT_BUDGET = 800_000
"""Characters of rendered prompts on the page, all together; keeps the page well under 5 MB."""

LONGEST_PROMPT = 12_000
SHORTEST_PROMPT = 400


def html_page(results: StudyResults, analysis: Analysis) -> str:
    """Return the whole page; no request, no script but its own, all text from data escaped."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "explorer.js").read_text(encoding="utf-8")
    limit = max(SHORTEST_PROMPT, min(LONGEST_PROMPT, PROMPT_BUDGET // max(1, len(results.prompts))))
    has_losses = any(card.training.get("losses") for card in results.variants)
    has_drift = any(card.drift for card in results.variants)
    has_forgetting = any(card.training.get("forgetting") for card in results.variants)
    return (
        _environment("html", printable)
        .get_template("page.html.j2")
        .render(
            **_facts(results, analysis),
            style=Markup(style),
            style_hash=_digest(style),
            script=Markup(script),
            script_hash=_digest(script),
            explorer=explorer(results),
            reliabilities=analysis.findings.get("calibration", ()),
            short=partial(visible, limit=SHORTEST_PROMPT * 2),
            relation_chart=figures.relation_chart(analysis),
            frontiers=frontier_views(_shim(analysis).frontiers),
            series=figures.series_of(results),
            panels=figures.shots_panels(results, analysis) if len({s.cell.shots for s in results.scores}) > 1 else (),
            heat_maps=figures.drift_heat_maps(results),
            similarity_chart=figures.similarity_chart(results) if has_drift else None,
            forgetting_panels=figures.forgetting_panels(results) if has_forgetting else (),
            loss_chart=figures.loss_chart(results) if has_losses else None,
            prompts_of=partial(_prompts_of, results),
            visible=partial(visible, limit=limit),
            id_limit=limit // 12,
            tints=tables.TINTS,
        )
    )


def _digest(text: str) -> str:
    """Return what a Content-Security-Policy calls the text by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def markdown_page(results: StudyResults, analysis: Analysis) -> str:
    """Return the report's tables as Markdown."""
    return _environment("markdown", markdown).get_template("report.md.j2").render(**_facts(results, analysis))


def _facts(results: StudyResults, analysis: Analysis) -> dict[str, object]:
    cells = {scores.cell for scores in results.scores}
    return {
        "results": results,
        "sections": sections_of(results, analysis),
        "html_section": html_section,
        "markdown_section": lambda section: Markup(markdown_section(section)),
        "Place": Place,
        "analysis": _shim(analysis),
        "BASE": BASE,
        "shots": sorted({cell.shots for cell in cells}),
        "trained_on": list(dict.fromkeys(card.trained_on for card in results.variants)),
        "families": list(dict.fromkeys(task.family for task in results.tasks)),
        "clear_counts": {
            (item.variant, item.relation, item.kind): _clear_counts(analysis, item) for item in analysis.relations
        },
        "limits": tables.limit_words(results),
        "matrices": tables.matrices(results, analysis),
        "choice_rows": tables.choice_rows(results, analysis),
        "choice_metrics": tables.CHOICE_METRICS,
        "condition": tables.condition_words(results).__getitem__,
        "guessing": tables.guessing_words,
        "flip_floors": tables.flip_floors(results),
        "scoring": results.provenance.get("scoring", "raw"),
        "label_shares": tables.label_shares(results, analysis),
        "label_share_mentioned": LABEL_SHARE_MENTIONED,
        "drift": drift_rows(results, analysis),
        **drift_facts(results),
        "drift_correlations": correlation_rows(analysis),
        "forgetting": forgetting_rows(results),
        "recipe_rows": recipe_rows(results),
        "source_rows": source_rows(results),
        "provenance": list(tables.flat_rows(results.provenance)),
        "base_facts": list(tables.flat_rows(results.base)),
        "command": results.provenance.get("command"),
        "rule": RULE.format(margin=results.margin, task_margin=TASK_FACTOR * results.margin),
        "symbols": LIGHT_SYMBOLS,
    }


def _shim(analysis: Analysis) -> Any:
    from types import SimpleNamespace

    found = analysis.findings
    general = found.get("generalization")
    return SimpleNamespace(
        **vars(analysis),
        frontiers=found.get("frontier", ()),
        drift=found.get("drift"),
        **{n: getattr(general, n, ()) for n in ("best_of_shots", "in_context_gains", "accuracy_drops")},
    )


def _clear_counts(analysis: Analysis, item: RelationSummary) -> tuple[int, int]:
    """Return how many cells of a row are significantly better than the base's and how many worse."""
    rows = [
        row
        for row in analysis.measurements
        if row.variant == item.variant and row.tested_on in item.tasks and row.is_primary and row.is_clear
    ]
    better = sum((row.difference > 0) == item.higher_is_better for row in rows)
    return better, len(rows) - better


def _prompts_of(results: StudyResults, task: str) -> list[PromptCard]:
    return sorted((card for card in results.prompts if card.cell.tested_on == task), key=lambda card: card.cell)


class _Shown(Protocol):
    """How text from data is written."""

    def __call__(self, text: str, limit: int = ..., /) -> str: ...


def _environment(kind: str, shown: _Shown) -> Environment:
    """Build the templates' environment; ``shown`` passes over every text that a template prints."""

    def finalize(value: object) -> object:
        return value if isinstance(value, Markup) or not isinstance(value, str) else shown(value)

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        signed=_number(signed),
        plain=_number(plain),
        scientific=lambda value: Markup(_scientific(value)),
        thousands=lambda value: Markup(f"{value:,}"),
        percent=lambda value: Markup(f"{value:.0%}"),
        sentence=lambda text: Markup(
            escape(shown(text, LONGEST_SENTENCE)) if kind == "html" else shown(text, LONGEST_SENTENCE)
        ),
        fine_percent=lambda value: Markup(f"{value:.2%}"),
        enumerated=_enumerated,
        counts=_counts,
        ids=lambda ids: Markup(" ".join(str(int(item)) for item in ids)),
        json=lambda facts: json.dumps(facts, default=str, ensure_ascii=False),
    )
    environment.globals["interval"] = _number(interval_words)
    return environment


def _number(write: Callable[..., str]) -> Callable[..., Markup]:
    """Mark the text of numbers, which needs no escaping in HTML or Markdown."""
    return lambda *values: Markup(write(*values))


def _scientific(value: float) -> str:
    """Write ``4.90 × 10⁻⁴``, and a number that is easily read as it is, ``0.304``."""
    if value == 0 or 0.1 <= abs(value) < 1000:
        return f"{value:.3g}".replace("-", "−")
    digits, exponent = f"{value:.2e}".split("e")
    return f"{digits.replace('-', '−')} × 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _enumerated(items: Iterable[object]) -> str:
    """Write ``a``, ``a and b`` or ``a, b and c``."""
    *rest, last = [str(item) for item in items]
    return f"{', '.join(rest)} and {last}" if rest else last


def _counts(items: Mapping[str, int]) -> str:
    """Write reasons and their counts, those that occurred: ``2 equals a demonstration``."""
    return "; ".join(f"{count:,} {reason}" for reason, count in items.items() if count) or "none"

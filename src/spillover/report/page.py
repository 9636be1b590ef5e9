"""The report as one HTML page that needs nothing else, and as Markdown."""

import base64
import hashlib
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import plain
from spillover.records import PromptCard, StudyResults
from spillover.report.explorer import BUDGET, LEAST_BUDGET, explorer
from spillover.report.html import html_section, html_words
from spillover.report.markdown import markdown_parts, markdown_section
from spillover.report.section import Place
from spillover.report.sections import lead, report_sections
from spillover.report.tables import condition_words
from spillover.report.text import markdown, printable, visible

TEMPLATES = Path(__file__).parent / "templates"

PROMPT_BUDGET = 800_000
"""Characters of rendered prompts on the page, all together; keeps the page well under 5 MB."""

PAGE_BYTES = 4_800_000
"""What the page may take; its items get what everything else leaves of it."""

LONGEST_PROMPT = 12_000
SHORTEST_PROMPT = 400


def html_page(results: StudyResults, analysis: Analysis) -> str:
    """Return the whole page; no request, no script but its own, all text from data escaped."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "explorer.js").read_text(encoding="utf-8")
    limit = max(SHORTEST_PROMPT, min(LONGEST_PROMPT, PROMPT_BUDGET // max(1, len(results.prompts))))
    sections = report_sections(results, analysis)
    environment = _environment()
    prompts = environment.get_template("prompts.html.j2").render(
        cards=_prompts(results), visible=partial(visible, limit=limit), id_limit=limit // 12
    )
    written = {section.id: html_section(section, prompts if section.id == "protocol" else "") for section in sections}
    taken = sum(len(html.encode(errors="replace")) for html in (style, script, *written.values()))
    items = explorer(results, budget=min(BUDGET, max(LEAST_BUDGET, PAGE_BYTES - taken)))
    return environment.get_template("page.html.j2").render(
        results=results,
        lead=html_words(lead(results, analysis)),
        opened=[section for section in sections if section.is_open],
        folded=[section for section in sections if not section.is_open],
        written=written,
        Place=Place,
        style=Markup(style),
        style_hash=_digest(style),
        script=Markup(script),
        script_hash=_digest(script),
        explorer=items,
        condition=condition_words(results).__getitem__,
        short=partial(visible, limit=SHORTEST_PROMPT * 2),
        visible=partial(visible, limit=limit),
    )


def _digest(text: str) -> str:
    """Return what a Content-Security-Policy calls the text by."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _prompts(results: StudyResults) -> list[PromptCard]:
    """Return a prompt per cell, tasks in the study's order."""
    places = {task.name: place for place, task in enumerate(results.tasks)}
    cards = [card for card in results.prompts if card.cell.tested_on in places]
    return sorted(cards, key=lambda card: (places[card.cell.tested_on], card.cell))


def markdown_page(results: StudyResults, analysis: Analysis) -> str:
    """Return everything of the page but its charts, its items and its prompts as Markdown."""
    title = f"# {markdown(results.name)}\n\n{markdown_parts([lead(results, analysis)])}"
    return "\n".join([title, *map(markdown_section, report_sections(results, analysis))])


def _environment() -> Environment:
    """Build the templates' environment, which makes every text of them printable and escapes it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        plain=lambda value: Markup(plain(value)),
        thousands=lambda value: Markup(f"{value:,}"),
        ids=lambda ids: Markup(" ".join(str(int(item)) for item in ids)),
    )
    return environment

"""The command `card`: a model card's part on what a variant gained and lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spillover.commands.arguments import FromFolder, Precision, StorePath
from spillover.commands.terminal import terminal
from spillover.errors import UserError, unknown_name

if TYPE_CHECKING:
    from spillover.report.card import Result

commands = typer.Typer()


@commands.command()
def card(
    source: Annotated[Path, typer.Argument(help="A study file, or the summary.json of a report.", show_default=False)],
    variant: Annotated[
        str | None, typer.Option("--variant", help="A variant's id, or its name where it has one only.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The card, such as README.md; what else it says stays. Default: print.")
    ] = None,
    store: StorePath = Path("store"),
    folder: FromFolder = None,
    precision: Precision = None,
) -> None:
    """Write a model card's part: results of every tested task beside the base's, and the metadata hubs read."""
    from spillover.report.card import card as written

    summary, results = found_in(source, store, folder, precision)
    known = list(dict.fromkeys(name for verdict in summary["verdicts"] for name in verdict["variants"]))
    chosen = _chosen(known, variant)
    verdict = next(item for item in summary["verdicts"] if chosen in item["variants"])
    existing = ""
    if to is not None and to.exists():
        try:
            existing = to.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"{to} cannot be read as text ({error}); name another file with --to") from None
    text = written(
        existing,
        chosen.split("/")[0],
        verdict,
        [result for result in results if result.variant == chosen],
        base=str(summary["base"]["name"]),
        level=float(summary["interval"]["level"]),
    )
    if to is None:
        terminal.out.print(text, end="", markup=False, highlight=False, emoji=False, soft_wrap=True)
        return
    try:
        to.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UserError(f"{to} cannot be written ({error.strerror}); name another file with --to") from None
    terminal.say(f"card: {to}")


def _chosen(known: Sequence[str], name: str | None) -> str:
    """Return the id of a variant: by itself, by its recipe's name, or the only one there is."""
    found = [one for one in known if name in (None, one)] or [one for one in known if one.split("/")[0] == name]
    if len(found) == 1:
        return found[0]
    if name is not None and not found:
        raise unknown_name("variant", name, [*known, *(one.split("/")[0] for one in known)])
    raise UserError(f"a card is of one variant; name it with --variant: {', '.join(found)}")


def found_in(
    source: Path, store: Path, folder: Path | None = None, precision: str | None = None
) -> tuple[Mapping[str, Any], Sequence[Result]]:
    """Return the summary and the results of a study whose steps are finished, or of a stored report."""
    from spillover.report.card import read_results, results_of

    if source.suffix != ".json":
        from spillover.questions import answered
        from spillover.report.write import summary
        from spillover.store.store import Store
        from spillover.study.results import collect

        results = collect(terminal.study(source, folder, precision), Store(store), command=f"spillover run {source}")
        analysis = answered(results)
        return summary(results, analysis), results_of(analysis.measurements)
    try:
        found = json.loads(source.read_text(encoding="utf-8"))
        for verdict in found["verdicts"]:
            verdict["variants"], verdict["sentence"], verdict["light"], verdict["evidence"]
        found["base"]["name"], found["interval"]["level"]
        return found, read_results(source.with_name("measurements.csv"))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror}); name a study file or a report") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{source} is no summary.json of this version's reports with its measurements.csv; write it again with: "
            "spillover report STUDY"
        ) from None

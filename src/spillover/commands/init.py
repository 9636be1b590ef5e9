"""The command `init`: from a file of rows to a suite and a study that run as they are, asking what is not given."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spillover.errors import UserError, shown, unknown_name

if TYPE_CHECKING:
    from spillover.commands.terminal import Terminal
    from spillover.own_data.look import Table
    from spillover.own_data.propose import Proposal
    from spillover.tasks.prepare import PreparedTask

DEFAULT_BASE = "smollm2-135m-instruct"
DATA_FILES = ("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet")
MANY_ROWS = 100_000
"""From which on dividing them takes seconds, and is announced."""
MOST_SHOWN = 20
"""Labels of which the balance is shown one by one."""

Ask = Callable[[str, str], str]
"""Question and default answer to the answer."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; what it does not is asked, or guessed from the data."""

    train: Path | None
    inputs: tuple[str, ...]
    target: str
    also: tuple[Path, ...]
    base: str
    out: Path
    group: str = ""
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    suite_file: Path
    proposal: Proposal
    """With sizes that the rows can serve."""
    prepared: Mapping[str, PreparedTask]
    """The user's tasks by name."""


def add_init(app: typer.Typer, terminal: Terminal) -> None:
    """Add the command."""

    @app.command()
    def init(
        train: Annotated[
            Path | None, typer.Option("--train", help="Your rows: CSV, TSV, JSON, JSONL or Parquet.")
        ] = None,
        inputs: Annotated[
            list[str] | None, typer.Option("--input", help="The column of the input; twice for a pair.")
        ] = None,
        target: Annotated[str, typer.Option("--target", help="The column of the answer.")] = "",
        group: Annotated[
            str, typer.Option("--group", help="The column whose equal values stay together, such as a customer's.")
        ] = "",
        also: Annotated[
            list[Path] | None, typer.Option("--also", help="Other rows of the same kind to test on; may be repeated.")
        ] = None,
        base: Annotated[str, typer.Option("--base", help=f"The model to fine-tune; default: {DEFAULT_BASE}.")] = "",
        study_file: Annotated[Path, typer.Option("--out", help="The study file to write.")] = Path("study.yaml"),
        force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Ask nothing and take every guess, for scripts.")] = False,
    ) -> None:
        """Look at your data and write a commented suite and study for it; without --train it asks."""
        from spillover.tasks.collection import no_collection

        asks = train is None and not yes
        given = Given(train, tuple(inputs or ()), target, tuple(also or ()), base, study_file, group, asks)
        with no_collection():
            proposal, base_name = proposed(given, ask, terminal.notice)
            _show_columns(proposal, given, terminal)
            made = written(proposal, base_name, study_file, force=force, notice=terminal.notice)
        for line in summary(made.proposal, made.prepared):
            terminal.say(line)
        terminal.say(f"wrote {made.suite_file} and {study_file}; next:")
        terminal.out.print(
            f"  spillover lint {shlex.quote(str(study_file))}", markup=False, highlight=False, soft_wrap=True
        )


def proposed(given: Given, ask: Ask, notice: Callable[[str], None]) -> tuple[Proposal, str]:
    """Return a study of the user's data and its base; without a training file everything not given is asked."""
    from spillover.own_data.look import guessed_inputs, guessed_target
    from spillover.own_data.propose import propose

    asks = given.asks
    named = given.train or Path((ask("Training file", _a_data_file()) if asks else _a_data_file()) or _missing())
    train = _read(named, notice)
    target = given.target or guessed_target(train)
    if asks and not given.target:
        target = _column(ask("Column of the target", target), train)
    inputs = given.inputs or guessed_inputs(train, target)
    if asks and not given.inputs:
        words = ask("Columns of the input, with commas between them", ", ".join(inputs))
        inputs = tuple(_column(word, train) for word in _split(words, train))
    also, base = given.also, given.base or DEFAULT_BASE
    if asks:
        also = also or tuple(map(Path, ask("Other files to test on, with spaces between them", "").split()))
        base = given.base or ask("Base model", base)
    elif not given.target or not given.inputs:
        notice(
            f"taking {', '.join(map(repr, inputs))} as input and {target!r} as target; --input and --target change it"
        )
    return propose(train, inputs, target, [_read(path, notice) for path in also], group=given.group), base


def written(proposal: Proposal, base: str, study_file: Path, *, force: bool, notice: Callable[[str], None]) -> Written:
    """Write suite and study; nothing is left behind unless the user's tasks can be prepared.

    Raises:
        UserError: If a file is there already, cannot be written, or the rows do not make the proposed tasks.
    """
    from spillover.artifacts.cache import whole_file
    from spillover.own_data.study_text import study_text, suite_text
    from spillover.tasks.prepare import prepare
    from spillover.tasks.suite import load_suite

    if study_file.suffix not in (".yaml", ".yml"):
        raise UserError(f"{study_file}: a study file ends in .yaml; name another with --out")
    suite_file = study_file.with_name("suite.yaml" if study_file.stem == "study" else f"{study_file.stem}-suite.yaml")
    for path in (suite_file, study_file):
        if path.exists() and not force:
            raise UserError(f"{path} is there already; name another file with --out, or replace it with --force")
    unfinished = suite_file.with_name(f".unfinished-{suite_file.name}")
    try:
        study_file.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)  # a link there would be written through
        unfinished.write_text(suite_text(proposal, study_file.parent), encoding="utf-8")
        suite = load_suite(unfinished)
        prepared = {}
        for own in (proposal.trained, *proposal.also):
            if len(own.table.rows) >= MANY_ROWS:
                notice(f"dividing the {len(own.table.rows):,} rows of {own.table.path}")
            prepared[own.name] = prepare(suite, suite.task(own.name), cache=study_file.parent)
        proposal = _fitted(proposal, len(prepared[proposal.trained.name].train))
        named = _from_study(base, study_file.parent)
        unfinished.replace(suite_file)
        with whole_file(study_file) as temporary:  # a link there is replaced
            temporary.write_text(study_text(proposal, named, suite_file.name), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {study_file}: {error.strerror}; name another place with --out") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Written(suite_file, proposal, prepared)


def _fitted(proposal: Proposal, count: int) -> Proposal:
    """Return the proposal with no more training rows than there are once groups are kept together."""
    from spillover.own_data.propose import LEAST_TRAIN

    own = proposal.trained
    if count < LEAST_TRAIN:
        raise UserError(
            f"{own.table.path}: the groups of {proposal.group!r} leave {count} training rows; at least {LEAST_TRAIN} "
            "are needed: name another --group, or add rows"
        )
    return replace(proposal, trained=replace(own, train_count=min(own.train_count, count)))


def summary(proposal: Proposal, prepared: Mapping[str, PreparedTask]) -> Sequence[str]:
    """Return what was decided and what became of every row, in a few lines."""
    from spillover.tasks.prepare import account_lines
    from spillover.tasks.source import FileSource, Sources

    pool = Sources(pool=(FileSource(file=str(proposal.trained.table.path)),))
    own, answers = proposal.trained, proposal.answers
    kind = "each row's own options" if proposal.options else "free text"
    if answers:
        kind = f"{len(answers)} answers ({', '.join(answers[:6])}{', ...' if len(answers) > 6 else ''})"
    lines = [
        f"{own.table.path}: {len(own.table.rows)} rows; family {proposal.family}, {kind}",
        f"  {own.train_count} rows to train, {own.test_count} to test, {own.demonstration_count} demonstrations",
        *_balance(proposal),
        *(f"  {line}" for line in account_lines(prepared[own.name], pool)),
    ]
    for task in proposal.also:
        dropped = f"; rows with {', '.join(map(repr, task.left_out))} are left out" if task.left_out else ""
        lines.append(f"{task.table.path}: out-of-domain, {task.test_count} rows to test{dropped}")
        lines += (f"  {line}" for line in account_lines(prepared[task.name], pool))
    if proposal.out_of_domain:
        lines.append(f"out-of-domain, of the pocket suite: {', '.join(proposal.out_of_domain)}")
    elif not proposal.also:
        lines.append("nothing to test out-of-domain: name other data of the same kind with --also")
    lines.append(f"cross-task, of the pocket suite: {', '.join(proposal.cross_task)}")
    return lines


def _show_columns(proposal: Proposal, given: Given, terminal: Terminal) -> None:
    """Print what each column of the training file is taken as and why, and name texts that are left out."""
    from spillover.own_data.columns import column_uses, second_texts

    table = proposal.trained.table
    inputs = (*(column for _, column in proposal.inputs), *proposal.followed_by)
    named = (*given.inputs, given.target, given.group)
    uses = column_uses(table, inputs, proposal.target, group=proposal.group, options=proposal.options, given=named)
    terminal.table(("column", "taken as", "why"), [(use.name, use.role, use.why) for use in uses])
    for name in second_texts(table, uses):
        both = " ".join(f"--input {shlex.quote(column)}" for column in (*inputs, name))
        terminal.notice(f"{name!r} is a text too and is left out; {both} takes it as well")


def _balance(proposal: Proposal) -> Sequence[str]:
    """Return the rows of each answer, and which spellings count as one."""
    from spillover.own_data.look import label_counts

    if not proposal.answers:
        return []
    spelled = proposal.label_map
    counts = Counter[str]()
    for label, count in label_counts(proposal.trained.table, proposal.target).items():
        counts[spelled.get(label, label)] += count
    parts = [f"{label} {count:,} ({count / counts.total():.0%})" for label, count in counts.most_common(MOST_SHOWN)]
    more = f", and {len(counts) - MOST_SHOWN} more" if len(counts) > MOST_SHOWN else ""
    joined = [f"{label!a} counts as {answer!a}" for label, answer in spelled.items() if label != answer]
    return [
        f"  rows of each answer: {', '.join(parts)}{more}",
        *([f"  labels that are one word: {', '.join(joined)}; the suite's `map` says so"] if joined else []),
    ]


def _read(path: Path, notice: Callable[[str], None]) -> Table:
    """Read a table; a large one is announced, for it takes a while."""
    from spillover.artifacts.files import own_path
    from spillover.own_data.look import read_table
    from spillover.tasks.source import LARGE_BYTES

    path = own_path(path)
    if path.is_file() and (size := path.stat().st_size) >= LARGE_BYTES:
        notice(f"reading {path} ({size / 1e6:,.0f} MB)")
    return read_table(path)


def ask(question: str, default: str) -> str:
    """Return what the user answers, the default for an empty line; also from a pipe, whose end means every default."""
    if sys.stdin.isatty():
        offered = shown(default)
        answer = str(typer.prompt(question, default=offered, show_default=bool(default), err=True)).strip()
        return default if answer == offered else answer
    typer.echo(f"{question} [{shown(default)}]: ", nl=False, err=True)
    answer = sys.stdin.readline().strip() or default
    typer.echo(shown(answer), err=True)
    return answer


def _from_study(base: str, folder: Path) -> str:
    """Return a base as a study in ``folder`` names it: a path starts there, a name stays.

    Raises:
        UserError: On a name that is neither in the catalog nor that of a hub repository or a file.
    """
    from spillover.models.spec import model_spec, model_specs
    from spillover.own_data.look import relative_file

    path = Path(base).expanduser()
    if not path.exists() and len(path.parts) == 1 and path.suffix != ".gguf":
        model_spec(base)
    return f"./{relative_file(path, folder)}" if path.exists() and base not in model_specs() else base


def _a_data_file() -> str:
    """Return the only data file of this folder; nothing where there are none or several."""
    found = sorted(path.name for pattern in DATA_FILES for path in Path().glob(pattern))
    return found[0] if len(found) == 1 else ""


def _missing() -> str:
    raise UserError("no training file is named; give it with --train, such as: spillover init --train reviews.csv")


def _split(words: str, table: Table) -> Sequence[str]:
    return [words] if words in table.columns else [word.strip() for word in words.split(",") if word.strip()]


def _column(word: str, table: Table) -> str:
    if word not in table.columns:
        raise unknown_name(f"column of {table.path}", word, table.columns)
    return word

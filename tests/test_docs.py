"""What the documentation says can be done: its commands parse, its settings load, its links lead somewhere."""

import ast
import importlib
import json
import re
import shlex
import tomllib
import typing
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main
import yaml
from pydantic import TypeAdapter

import spillover
from spillover.api import Comparison, Results
from spillover.cli import app, main
from spillover.commands.gating import RuleFile
from spillover.evaluation.metrics import METRICS
from spillover.questions import QUESTIONS
from spillover.questions.mixing.cocktail import Cocktail
from spillover.questions.mixing.factorial import Factorial
from spillover.report.formats import Format
from spillover.settings import load_yaml, parse_settings
from spillover.study.study_file import StudyFile, VariantEntry, study_file
from spillover.tasks.suite import builtin_suites, load_suite
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe, contradiction_with_stages, contradiction_with_training
from spillover.training.sweep import sweep_points

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DEMO = ROOT / "src/spillover/commands/quickstart.yaml"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")])
SLOTS = tuple(Recipe.model_fields)
STUDY_FILE = study_file(QUESTIONS)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str | None = None) -> list[Block]:
    found = [
        Block(page, text[: match.start()].count("\n") + 1, match[1], match[2])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, flags=re.M | re.S)
    ]
    return [block for block in found if language in (None, block.language)]


def commands(page: Path | None = None) -> list[tuple[str, list[str]]]:
    """Return where each shell command stands, and its words."""
    return [
        (str(block), words)
        for block in blocks("sh")
        for line in block.text.replace("\\\n", " ").splitlines()
        if page in (None, block.page) and (words := shlex.split(line.partition(" > ")[0], comments=True))
    ]


def inline_commands() -> list[tuple[str, list[str]]]:
    """Return the `spillover ...` commands within sentences that have arguments."""
    found = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        found += [
            (str(page.relative_to(ROOT)), shlex.split(words)) for words in re.findall(r"`(spillover .+?)`", prose)
        ]
    return found


def parse(words: list[str]) -> None:
    """Parse a `spillover` command as the command line does, without running it."""
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands"):
        assert rest, f"{words} names no command"
        name, *rest = rest
        assert name in command.commands, f"{name} is no command of {words}"
        command = command.commands[name]
    if "--help" not in rest:
        command.make_context(command.name, rest)


def test_every_block_is_of_a_kind_that_is_checked():
    assert blocks("sh")
    assert blocks("yaml")
    assert blocks("python")
    assert [str(block) for block in blocks() if block.language not in ("sh", "yaml", "python", "text")] == []


@pytest.mark.parametrize(("where", "words"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_can_be_called_so(where, words):
    program, *rest = words
    if program == "accelerate":
        assert rest[rest.index("-m") + 1] == "spillover"
        program, rest = "spillover", rest[rest.index("-m") + 2 :]
    if program == "spillover":
        parse([program, *rest])
        for word in rest:
            if word.startswith("examples/"):
                assert (ROOT / word).is_file(), word
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), flags=re.M), rest
    elif program == "python":
        path = Path(*rest[1].split(".")).with_suffix(".py") if rest[0] == "-m" else Path(rest[0])
        assert (ROOT / path).is_file(), rest
    elif words[:2] == ["pip", "install"] or words[:3] == ["uv", "tool", "install"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extra = re.fullmatch(r"spillover\[(\w+)\]", rest[-1])
        wheel = f"dist/spillover-{project['version']}-py3-none-any.whl"
        assert extra[1] in project["optional-dependencies"] if extra else rest[-1] == wheel
    else:
        assert (program, rest[:1]) == ("pytest", ["-m"]), f"{where}: nobody checks {words}"


def test_the_page_on_suites_names_every_metric_and_its_unit():
    page = (DOCS / "suites.md").read_text(encoding="utf-8")
    units = dict(re.findall(r"^\| `(\w+)` \| .* \| (share|points)[^|]*\|$", page, flags=re.M))
    assert units == {name: METRICS[name].card.unit for name in units}
    assert units.keys() == {name for name, metric in METRICS.items() if metric.needs == "any answer"}
    (choices,) = re.findall(r"^Choices have .*?\n\n", page, flags=re.M | re.S)
    assert set(re.findall(r"`(\w+)`", choices)) == METRICS.keys() - units.keys() | {"accuracy"}


@pytest.mark.parametrize(("where", "words"), inline_commands())
def test_every_command_within_a_sentence_is_one(where, words):
    command = typer.main.get_command(app)
    options = {option for parameter in command.params for option in parameter.opts}
    for word in words[1:]:
        if hasattr(command, "commands") and not word.startswith("--"):
            assert word in command.commands, f"{where}: {words}"
            command = command.commands[word]
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        elif word.startswith("--"):
            assert word in options, f"{where}: {words}"


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_yaml_block_is_a_study_a_suite_or_a_recipe_that_is_accepted(block, tmp_path):
    path = tmp_path / "block.yaml"
    path.write_text(block.text, encoding="utf-8")
    data = load_yaml(path)
    if "tasks" in data:
        assert load_suite(path).tasks
    elif set(data) <= set(RuleFile.model_fields):
        parse_settings(RuleFile, data, where=str(block))
    elif "jobs" in data:  # a pipeline's, whose commands are held below
        assert [command(run) for step in data["jobs"]["spillover"]["steps"] if (run := step.get("run"))]
    elif set(data) <= set(SLOTS):
        parse_settings(Recipe, data, where=str(block))
    else:
        check_study(parse_settings(STUDY_FILE, data, where=str(block)), where=str(block))


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_a_study_that_is_accepted(path):
    check_study(parse_settings(STUDY_FILE, load_yaml(path), where=str(path)), where=str(path))


def command(line: str) -> str:
    """Return the command of a line of the shell, whose options must be options of it."""
    program, name, *words = line.split()
    assert program == "spillover"
    known = typer.main.get_command(app).commands[name]
    options = {option for parameter in known.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    return name


def check_study(study: StudyFile, *, where: str) -> None:
    """Refuse what `load_study` would refuse before it looks for models and rows."""
    suite = load_suite(study.suite.name) if study.suite.name in builtin_suites() else None
    trained = [entry for entry in study.variants if isinstance(entry, VariantEntry)]
    designed = [one.entry for question in QUESTIONS for one in question.expand(study)]
    points = [
        (mixture, point.recipe, point.training)
        for entry in trained
        for point in sweep_points(entry.name, entry.recipe, entry.training, entry.sweep, where=where)
        for mixture in entry.train_on
    ]
    arms = [(mixture, entry.recipe, entry.training) for entry in designed for mixture in entry.train_on]
    defaults = {**(suite.training_defaults if suite else {}), **study.training}
    for mixture, recipe, training in (*points, *arms):
        settings = parse_settings(TrainingSettings, {**defaults, **training}, where=where)
        assert contradiction_with_training(recipe, settings) is None
        assert contradiction_with_stages(mixture, recipe, settings) is None
        for name in (mixture.target, *(member.task for member in mixture.added), *recipe.constraint.replays):
            assert suite is None or suite.task(name).sources.train or suite.task(name).sources.pool
    for entry in study.test_on:
        if suite and entry.task != "all" and not entry.task.startswith("lm-eval/"):
            suite.task(entry.task)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_block_compiles_and_imports_what_there_is(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert hasattr(importlib.import_module(node.module), alias.name), f"{node.module}.{alias.name}"


def test_the_quickstart_shows_the_study_that_the_demo_runs():
    shown = next(block for block in blocks("yaml") if block.page == DOCS / "quickstart.md")
    assert yaml.safe_load(shown.text) == yaml.safe_load(DEMO.read_text(encoding="utf-8"))


def test_the_readme_tells_of_the_demos_variants_and_counts():
    """Its table is a run's output; this notices a demo that has changed since."""
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    ids = {f"{v['name']}/{task}/{size}/0" for v in demo["variants"] for task in v["train_on"] for size in v["sizes"]}
    said = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What it says")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| (\S+/\S+) ", said, flags=re.M)) == ids
    limits, (rows,) = demo["test_limit"], demo["variants"][0]["sizes"]
    counts = f"{rows} training rows, {limits['default']} items a cell, {limits['question']} of question generation"
    assert counts in said


def test_the_command_that_starts_from_a_file_of_rows_writes_a_study_that_is_accepted(tmp_path, monkeypatch):
    (words,) = [words for _, words in commands(DOCS / "ship.md") if words[1] == "init"]
    rows = [{"text": f"item {index} was {word}", "label": word} for index in range(60) for word in ("fine", "poor")]
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    Path("tweets.jsonl").write_text(
        "".join(json.dumps({**row, "text": f"tweet: {row['text']}"}) + "\n" for row in rows)
    )
    with pytest.raises(SystemExit) as stopped:
        main(words[1:])
    assert stopped.value.code == 0
    check_study(parse_settings(STUDY_FILE, load_yaml(Path("study.yaml")), where="study.yaml"), where="study.yaml")


def command_names(command: typer.main.TyperGroup | None = None, before: str = "spillover") -> list[str]:
    """Return every command as it is typed: ``spillover models list``."""
    found = []
    for name, inner in (command or typer.main.get_command(app)).commands.items():
        typed = f"{before} {name}"
        found += command_names(inner, typed) if hasattr(inner, "commands") else [typed]
    return found


@pytest.mark.parametrize("name", command_names())
def test_the_page_on_commands_names_every_command(name):
    assert f"`{name}`" in (DOCS / "commands.md").read_text(encoding="utf-8")


def test_the_page_on_commands_names_every_format_with_its_file():
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    for kind in Format:
        assert f"| `{kind}` | `{kind.file_name}`: " in text


def public(owner: type) -> list[str]:
    return [name for name in {**vars(owner), **owner.__annotations__} if not name.startswith("_")]


@pytest.mark.parametrize("name", [*spillover.__all__, *public(Results), *public(Comparison)])
def test_the_page_on_python_names_everything_public(name):
    assert re.search(rf"[`.]{name}\b", (DOCS / "python.md").read_text(encoding="utf-8"))


def test_the_page_on_lint_names_every_check():
    text = (DOCS / "lint.md").read_text(encoding="utf-8")
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src/spillover/lint").glob("*.py")]
    made = [
        node.args[0]
        for module in modules
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    ]
    names = {
        word.value
        for name in made
        for word in ast.walk(name)
        if isinstance(word, ast.Constant) and word.value is not None
    }
    assert len(names) > 10
    assert sorted(re.findall(r"`([\w-]+)`(?=[^|\n]*\|[^|\n]+\|$)", text, flags=re.M)) == sorted(names)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(linked), f"{page.name}: {target}"


def test_the_site_shows_every_page_once():
    def files(entries) -> list[str]:
        return [
            name
            for entry in entries
            for part in entry.values()
            for name in ([part] if isinstance(part, str) else files(part))
        ]

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(files(site["nav"])) == sorted(page.name for page in DOCS.glob("*.md"))


def test_the_reference_names_modules_that_exist():
    named = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), flags=re.M)
    assert len(named) > 10
    for name in named:
        assert importlib.import_module(name).__doc__


def kinds_of(slot: str) -> list[type]:
    annotation = Recipe.model_fields[slot].annotation
    return [choice for choice in typing.get_args(annotation) or (annotation,) if hasattr(choice, "model_fields")]


@pytest.mark.parametrize("slot", SLOTS)
def test_the_page_on_recipes_names_every_kind_and_setting(slot):
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert TypeAdapter(Recipe).validate_python({})
    assert kinds_of(slot)
    for choice in kinds_of(slot):
        for name, field in choice.model_fields.items():
            word = field.default if name == "kind" else name
            assert re.search(rf"`{re.escape(word)}[`:]", text), f"{slot}: {word}"


def test_the_page_on_mixtures_names_every_setting_of_a_design():
    text = (DOCS / "mixtures.md").read_text(encoding="utf-8")
    settings = {*Cocktail.model_fields, *Factorial.model_fields}
    assert not [name for name in sorted(settings) if f"`{name}`" not in text and f"{name}:" not in text]


def test_the_page_on_the_study_file_names_every_setting():
    text = (DOCS / "study.md").read_text(encoding="utf-8")
    for name in {*STUDY_FILE.model_fields, *TrainingSettings.model_fields}:
        assert re.search(rf"\b{name}\b", text), name


def test_the_page_on_the_report_has_a_heading_for_every_section_of_the_report():
    described = re.findall(r"^## (.+)$", (DOCS / "report.md").read_text(encoding="utf-8"), flags=re.M)
    templates = (ROOT / "src/spillover/report/templates").glob("*.html.j2")
    shown = [
        re.sub(r"<.*?>.*?</.*?>", "", heading).strip()
        for template in templates
        for heading in re.findall(r"<h2>(.*?)</h2>", template.read_text(encoding="utf-8"))
    ]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src/spillover").rglob("*.py")]
    shown += [title for source in sources for title in re.findall(r'\bSection\(\s*"[\w-]+",\s*"(.+?)"', source)]
    shown = sorted({*shown} - {"More"})  # what the page calls all that is folded
    assert len(shown) > 10
    assert sorted(described) == shown

"""Every block of README and documentation is carried out in order, from a clean folder, at small size."""

import json
import shlex
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from spillover.cli import main
from spillover.config import load_study
from spillover.tasks.suite import builtin_suites, load_suite
from tests.evaluation.harness.test_inspect_logs import sample as inspect_sample
from tests.evaluation.harness.test_inspect_logs import write_log
from tests.evaluation.harness.test_samples import sample as lm_eval_sample
from tests.evaluation.harness.test_samples import write_run
from tests.stand_in import BASE, make_folder, shrunk, stand_in
from tests.test_docs import DOCS, PAGES, ROOT, SLOTS, Block, blocks

WALKED = ("README.md", "ship.md", "lint.md", "suites.md")
"""Pages that begin in a folder with rows, an adapter and nothing else."""
AFTERWARDS = ("commands.md", "python.md", "faq.md", "scaling.md")
"""Pages whose reader has run the study of the quickstart."""
TRAINED = ("recipes.md", "mixtures.md")
PLANNED = ("paper.md",)
"""Pages whose studies are planned and not run."""
"""Pages whose blocks train for minutes, even at small size: in the long tests."""
ELSEWHERE = {
    "assistants.md": "a server, which tests/commands/test_assistant talks to",
    "gate.md": "exit codes of a pipeline: tests/commands/test_gate",
    "CONTRIBUTING.md": "its commands are those of developing",
    "install.md": "installing is tried with `make dist`, in an environment of its own",
    "asks.md": "minutes of training, and of a classifier: tests/study/test_asks and test_supervised",
    "convergence.md": "minutes of training: tests/questions/convergence/test_study",
    "study.md": "names adapters and a release that it does not have, loaded in test_docs",
}
NOT_OURS = ("pip", "uv", "make", "python", "source", "git", "accelerate")
"""Programs whose words `test_docs` checks; what accelerate launches, tests/training/test_processes does."""
IMPORTS = ("lm-eval.md",)
"""Of this page only the imports: its study and its command line need lm-eval and tasks of the hub, as in
tests/evaluation/harness."""
FETCHES = {("demo",), ("lm-eval",), ("suites", "pull"), ("models", "pull")}
"""Commands that need the real model, or another program."""


class Reader:
    """Does what a page says, in a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self.ran = 0

    def do(self, block: Block) -> None:
        """Carry a block out."""
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                command, _, file = line.partition(" > ")
                if words := shlex.split(command, comments=True):
                    self._command(words, file.strip(), where=str(block))
        elif block.language == "yaml":
            self._file(block)
        elif block.language == "python":
            exec(compile(block.text, str(block), "exec"), {})

    def _file(self, block: Block) -> None:
        """Save a study or a suite under the name in its first line, and read it as the program does."""
        first, data = block.text.splitlines()[0], yaml.safe_load(block.text)
        is_suite = "tasks" in data
        name = (
            first.removeprefix("# ").strip() if first.endswith(".yaml") else "suite.yaml" if is_suite else "study.yaml"
        )
        path = self._folder / name
        if path.exists() and not is_suite and "base" not in data:  # some settings of the study at hand
            data = {**yaml.safe_load(path.read_text(encoding="utf-8")), **data}
        path.write_text(yaml.safe_dump(shrunk(data, self._folder), sort_keys=False), encoding="utf-8")
        if is_suite:
            assert load_suite(path).tasks, block
        else:
            assert load_study(path, cache=self._folder / "cache", notice=lambda line: None).steps, block

    def _command(self, words: list[str], file: str, *, where: str) -> None:
        program, *rest = words
        if program in NOT_OURS or any(tuple(rest[: len(known)]) == known for known in FETCHES):
            return
        assert program == "spillover", where
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(self._small(rest))
        said = self._capsys.readouterr()
        assert stopped.value.code == 0, f"{where}: {words}: {said.err[-600:]}"
        self.ran += 1
        if file:
            (self._folder / file).write_text(said.out, encoding="utf-8")
        if rest[0] == "init":
            for name in ("suite.yaml", "study.yaml"):
                data = yaml.safe_load((self._folder / name).read_text(encoding="utf-8"))
                (self._folder / name).write_text(yaml.safe_dump(shrunk(data, self._folder)), encoding="utf-8")

    def _small(self, words: list[str]) -> list[str]:
        """Return a command for the stand-ins of base, suites and sizes."""
        found = ["./base" if word == BASE else word.replace("/48/", "/8/") for word in words]
        found = [word.removeprefix("/data/") if word == "/data/store" else word for word in found]
        for place, word in enumerate(found[:-1]):
            if word == "--suite" and found[place + 1] in builtin_suites():
                found[place + 1] = str(stand_in(found[place + 1], self._folder))
        if words[0] == "evaluate" or words[:2] == ["tasks", "show"]:
            found += [] if "--suite" in words else ["--suite", str(stand_in("pocket", self._folder))]
        if words[0] == "evaluate":
            found += ["--shots", "0", "--test-limit", "10", "--threads", "1"]
        if words[0] == "init":
            found += [] if "--base" in words else ["--base", "./base"]
        return found


def page_blocks(name: str) -> list[Block]:
    return [block for block in blocks() if block.page.name == name]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    make_folder(folder)
    return folder


def walk(name: str, folder: Path, capsys) -> int:
    reader = Reader(folder, capsys)
    for block in page_blocks(name):
        reader.do(block)
    return reader.ran


@pytest.mark.parametrize("name", [name for name in WALKED if (ROOT / name).exists() or (DOCS / name).exists()])
def test_a_reader_can_do_what_a_page_says(prepared, tmp_path, monkeypatch, capsys, name):
    folder = copied(prepared, tmp_path / "reader")
    monkeypatch.chdir(folder)
    if name == "lint.md":
        shrink_quickstart(folder)
    assert walk(name, folder, capsys) or not any(block.language == "sh" for block in page_blocks(name))


def test_a_reader_of_the_quickstart_can_do_what_the_pages_say_that_go_on_from_there(
    prepared, tmp_path, monkeypatch, capsys
):
    folder = copied(prepared, tmp_path / "reader")
    monkeypatch.chdir(folder)
    assert walk("quickstart.md", folder, capsys) >= 9
    for name in AFTERWARDS:
        reader = Reader(folder, capsys)
        reader._command(["spillover", "run", "study.yaml"], "", where="quickstart.md")  # with the variant added last
        for block in page_blocks(name):
            if block.language != "yaml":
                reader.do(block)


@pytest.mark.long
def test_every_recipe_of_the_page_on_recipes_is_trained_as_it_is_written(prepared, tmp_path, monkeypatch, capsys):
    folder = copied(prepared, tmp_path / "reader")
    monkeypatch.chdir(folder)
    recipes = [yaml.safe_load(block.text) for block in page_blocks("recipes.md") if block.language == "yaml"]
    assert len(recipes) > 4
    assert all(set(recipe) <= set(SLOTS) for recipe in recipes)
    variants = [
        {"name": f"recipe-{number}", "train_on": "amazon", "sizes": [8], "recipe": recipe}
        for number, recipe in enumerate(recipes)
    ]
    study = {"base": BASE, "suite": "pocket", "variants": variants, "test_on": ["amazon", "tweets"], "shots": [0, 2]}
    (folder / "study.yaml").write_text(yaml.safe_dump(shrunk(study, folder)), encoding="utf-8")
    reader = Reader(folder, capsys)
    reader._command(["spillover", "run", "study.yaml", "--threads", "1"], "", where="recipes.md")
    reader._command(["spillover", "export", "study.yaml", "recipe-2", "--to", "kept"], "", where="recipes.md")
    assert (folder / "kept" / "config.json").is_file()


@pytest.mark.long
def test_the_mixtures_of_the_page_are_trained_within_their_budget(prepared, tmp_path, monkeypatch, capsys):
    folder = copied(prepared, tmp_path / "reader")
    monkeypatch.chdir(folder)
    assert walk("mixtures.md", folder, capsys) == 1
    arms = json.loads((folder / "report" / "study" / "summary.json").read_text(encoding="utf-8"))["verdicts"]
    assert len(arms) > 8


def test_every_example_of_the_page_on_the_paper_is_planned_as_it_would_run(prepared, tmp_path, monkeypatch, capsys):
    folder = copied(prepared, tmp_path / "reader")
    monkeypatch.chdir(folder)
    (folder / "examples").mkdir()
    config = json.loads((folder / "base" / "config.json").read_text(encoding="utf-8"))  # five demonstrations are long
    (folder / "base" / "config.json").write_text(
        json.dumps({**config, "max_position_embeddings": 8192}), encoding="utf-8"
    )
    for example in (ROOT / "examples").glob("*.yaml"):
        data = shrunk(yaml.safe_load(example.read_text(encoding="utf-8")), folder)
        data["test_on"] = data["test_on"][:3] if isinstance(data["test_on"], list) else ["socialqa", "amazon", "sst2"]
        data |= {"base": str(folder / "base"), "suite": str(stand_in("genpower", folder))}
        (folder / "examples" / example.name).write_text(yaml.safe_dump(data), encoding="utf-8")
    (folder / "path/to/the/release/data").mkdir(parents=True)
    reader = Reader(folder, capsys)
    for block in page_blocks("paper.md"):  # to run them takes minutes even at small size: planning reads every row
        text = block.text.replace("spillover run", "spillover plan --no-calibration")
        reader.do(replace(block, text=text))
    assert reader.ran == 7


def test_a_reader_can_import_what_other_programs_logged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, right in (("base", (1.0, 0.0)), ("tuned", (1.0, 1.0))):
        rows = [(f"a sentence of number {number}", right[number % 2]) for number in range(40)]
        write_run(tmp_path / "runs" / name, {"sst2": [lm_eval_sample(text, acc=value) for text, value in rows]})
        samples = [inspect_sample(text, "CI"[value == 0], id=number) for number, (text, value) in enumerate(rows)]
        write_log(tmp_path / "logs" / name / "sst2.eval", f"hf/{name}", samples, task="sst2")
    reader = Reader(tmp_path, capsys)
    for block in page_blocks("lm-eval.md"):
        if block.language == "sh":
            reader.do(block)
    assert reader.ran == 2
    assert len(list((tmp_path / "report").rglob("index.html"))) == 2


def test_every_page_with_blocks_is_walked_or_says_where_its_blocks_are_tried():
    with_blocks = {block.page.name for block in blocks() if block.language != "text"}
    assert with_blocks <= {"quickstart.md", *WALKED, *AFTERWARDS, *TRAINED, *PLANNED, *IMPORTS, *ELSEWHERE}
    assert set(ELSEWHERE) <= {page.name for page in PAGES}


def test_the_notebook_runs_from_top_to_bottom(prepared, tmp_path, monkeypatch):
    folder = copied(prepared, tmp_path / "reader")
    monkeypatch.chdir(folder)
    shrink_quickstart(folder)
    (folder / "study.yaml").rename("quickstart.yaml")
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    with warnings.catch_warnings(action="ignore"):  # of the kernel's own making
        NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(folder))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert "sft/siqa/8/0" in str(outputs)
    assert (folder / "report" / "quickstart" / "index.html").is_file()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < 12_000


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def shrink_quickstart(folder: Path) -> None:
    """Write the study of the quickstart, which the page on lint speaks of."""
    (block,) = [block for block in page_blocks("quickstart.md") if block.text.startswith("base")]
    data = shrunk(yaml.safe_load(block.text), folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")

from pathlib import Path

import pytest
import yaml
from hypothesis import given

from spillover.config import load_study
from spillover.models.spec import ResolvedModel
from spillover.tasks.suite import load_suite
from tests.robust.budget import _no_network, fuzzed, lengths, survives  # noqa: F401
from tests.robust.mutations import as_yaml, spoiled, torn
from tests.study.made_study import make_study

pytestmark = pytest.mark.usefixtures("_no_network")
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A made study and what a base would be."""
    folder = tmp_path_factory.mktemp("fuzzed")
    make_study(folder)
    return folder


def load(path, folder):
    base = ResolvedModel("made", folder / "model", "0" * 64, "1" * 64, 10**6, "base", "none", 512)
    study = load_study(path, cache=folder / "cache", base=base, notice=lambda line: None)
    assert study.steps
    assert all(step.key for step in study.steps)
    return study


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def studies(folder):
    """Return the bytes of study files, the made one more often: its suite is read in a moment."""
    return [path.read_bytes() for path in (*EXAMPLES, *[folder / "study.yaml"] * 3 * len(EXAMPLES))]


@lengths
def test_a_spoiled_study_file_is_a_study_or_one_line(place, count):
    said = []

    @fuzzed(count)
    @given(tree=spoiled([yaml.safe_load(content) for content in studies(place)]))
    def holds(tree):
        path = written(place, "spoiled.yaml", as_yaml(tree))
        said.append(survives(lambda: load(path, place), place))

    holds()
    assert 0.1 < sum(map(bool, said)) / len(said) < 1  # some were still studies


@lengths
def test_a_torn_study_file_is_a_study_or_one_line(place, count):
    @fuzzed(count)
    @given(content=torn(studies(place)))
    def holds(content):
        path = written(place, "torn.yaml", content)
        survives(lambda: load(path, place), place)

    holds()


@lengths
def test_a_spoiled_or_torn_suite_is_a_suite_or_one_line(place, count):
    made = (place / "made.yaml").read_bytes()
    built_in = (Path(load_suite("pocket").path)).read_bytes()

    @fuzzed(count)
    @given(content=spoiled([yaml.safe_load(made)] * 4 + [yaml.safe_load(built_in)]).map(as_yaml) | torn([made]))
    def holds(content):
        path = written(place, "suite.yaml", content)
        study = b"base: ./model\nsuite: ./suite.yaml\nvariants: [{name: a, train_on: first, sizes: [4]}]\n"
        asked = written(place, "asks.yaml", study)
        survives(lambda: [load_suite(path), load(asked, place)], place)

    holds()


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "aliases"),
        (LAUGHS + "variants: *a11\n", "aliases"),
        ("variants: &a [*a]\n", "holds itself"),
        ("? [" + "a, " * 3 + "b]\n: 1\n", "expected valid YAML"),
        ("variants: " + "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("variants: " + "{a: " * 2000 + "}" * 2000, "nested too deeply"),
        ("margin: " + "9" * 5000, "expected valid YAML"),
        ("margin: !!int x", "expected valid YAML"),
        ("margin: !!timestamp x", "expected valid YAML"),
        ("margin: !!bool x", "expected valid YAML"),
        ('base: "\\ud800"', "is not a character"),
        ('base: "a\\0"', "is not a character"),
        (
            "base: " + "x" * 5000 + "\nsuite: " + "x" * 5000 + "\nvariants: [{name: a, train_on: b, sizes: [1]}]",
            "too long",
        ),
        ("base: !!python/object/apply:os.system [x]", "expected valid YAML"),
    ],
)
def test_hostile_yaml_is_one_line_that_says_what_it_is(place, text, message):
    path = written(place, "hostile.yaml", text.encode())
    assert message in survives(lambda: load(path, place), place)

import pytest

from spillover.config import load_study
from spillover.errors import UserError
from tests.study.made_study import make_study


@pytest.fixture
def study_file(tmp_path):
    return make_study(tmp_path)


def load(path):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shots:", "shot:", r"study\.yaml: unknown setting 'shot'; did you mean 'shots'"),
        ("train_on: first", "train_on: frist", r"unknown task of suite 'made' 'frist'; did you mean 'first'"),
        ("base: ./model", "base: smollm2-135m-instrukt", r"unknown model .* did you mean 'smollm2-135m-instruct'"),
        ("base: ./model", "base: ./nowhere", "no such folder"),
        ("suite: ./made.yaml", "suite: poket", r"unknown suite 'poket'; did you mean 'pocket'"),
        ("demonstrations: 2", "demonstration: 2", r"variants\[1\]\.recipe.* did you mean 'demonstrations'"),
        ("learning_rate: 0.01", "learning_rat: 0.01", r"unknown setting 'learning_rat'; did you mean 'learning_rate'"),
        ("learning_rate: 0.01", "learning_rate: fast", r"learning_rate is 'fast'; it should be a valid number"),
        ("test_limit: 10", "test_limit: {mod: 10}", r"test_limit names the family 'mod'; known: default, echo, mood"),
        ("test_limit: 10", "test_limit: 1", "test_limit is 1 .* at least two rows"),
        ("shots: [0, 2]", "shots: [0, 2]\nmargin: 2", "margin is 2; it should be less than 1"),
        ("shots: [0, 2]", "shots: [0, 2]\nseeds: [3, 3]", "seeds: 3 is listed twice; list it once"),
        ("shots: [0, 2]", "shots: [9]", "no cell is left to test: first at 9 shots: the task has 4 demonstrations"),
        ("shots: [0, 2]", "shots: [0, 2]\ntest_on: []", "test_on"),
        ("sizes: [16], recipe", "sizes: [0], recipe", "sizes holds 0"),
        ("suite: ./made.yaml", "suite: {name: ./made.yaml, form: .}", r"unknown setting 'form'; did you mean 'from'"),
        ("suite: ./made.yaml", "suite: {name: ./made.yaml, from: nowhere}", "nowhere: is no folder"),
        ("name: fticl", "name: sft", r"two variants have the id 'sft/first/16/0'"),
        ("shots: [0, 2]", "shots: [0, 2]\nprompt_forms: [2]", r"unknown prompt form of task 'first' '2'; known: 1"),
    ],
)
def test_a_mistake_in_a_study_is_one_line_that_names_it_and_the_nearest(study_file, old, new, message):
    text = study_file.read_text()
    assert old in text
    study_file.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message) as raised:
        _ = load(study_file).steps
    assert "\n" not in str(raised.value)


def test_shorthands_stand_for_their_mappings(study_file):
    text = study_file.read_text()
    study_file.write_text(text.replace("demonstrations: 2", "demonstrations: {count: 2, seed: 0}"))
    long = [step.key for step in load(study_file).finetunes]
    study_file.write_text(text)
    assert long == [step.key for step in load(study_file).finetunes]


def test_training_settings_come_from_variant_before_study_before_suite(study_file):
    suite = study_file.with_name("made.yaml")
    suite.write_text("training: {epochs: 7, batch_size: 2, weight_decay: 0.5}\n" + suite.read_text())
    text = study_file.read_text().replace("sizes: [16], recipe", "sizes: [16], training: {epochs: 3}, recipe")
    study_file.write_text(text)
    plain, fticl = (plan.settings for plan in load(study_file).variants)
    assert (plain.epochs, plain.batch_size, plain.weight_decay) == (1, 4, 0.5)
    assert (fticl.epochs, fticl.batch_size, fticl.weight_decay) == (3, 4, 0.5)


def test_limits_may_differ_by_family(study_file):
    text = study_file.read_text()
    study_file.write_text(text.replace("test_limit: 10", "test_limit: {default: 8, echo: 3}"))
    assert {task.name: task.limit for task in load(study_file).test_on} == {"first": 8, "second": 8, "words": 3}


def test_a_sweep_is_the_same_variants_written_out(study_file):
    text = study_file.read_text()
    entry = "  - {name: sft, train_on: [first, words], sizes: [16]}"
    assert entry in text
    study_file.write_text(text.replace(entry, entry[:-1] + ", sweep: {training.learning_rate: [0.02, 1e-4]}}"))
    swept = load(study_file)
    by_hand = [
        entry.replace("sft", f"sft-{rate}")[:-1] + f", training: {{learning_rate: {rate}}}}}" for rate in (0.02, 1e-4)
    ]
    study_file.write_text(text.replace(entry, "\n".join(by_hand)))
    assert [step.key for step in swept.finetunes] == [step.key for step in load(study_file).finetunes]
    assert [plan.name for plan in swept.variants] == ["sft~learning_rate=0.02", "sft~learning_rate=1e-4", "fticl"]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            "{training.learning_rat: 1}",
            "variant 'fticl': sweep: unknown setting .* did you mean 'training.learning_rate'",
        ),
        (
            "{training.learning_rate: []}",
            r"variants\[1\]\.sweep\.training\.learning_rate is \[\]; it should have at least 1 item",
        ),
        ("{training.learning_rate: [1, 1]}", "1 is listed twice; list it once"),
        (
            "{training.learning_rate: [-1]}",
            "'fticl~learning_rate=-1': training: learning_rate is -1; it should be greater",
        ),
        ("{recipe.demonstrations: [0, 2]}", "recipe.demonstrations is both set and swept"),
        ("{recipe.constraint: [none, l2/sp]}", "is 'l2/sp'"),
    ],
)
def test_a_mistake_in_a_sweep_is_one_line(study_file, sweep, message):
    text = study_file.read_text()
    study_file.write_text(text.replace("recipe: {demonstrations: 2}", f"recipe: {{demonstrations: 2}}, sweep: {sweep}"))
    with pytest.raises(UserError, match=message) as raised:
        load(study_file)
    assert "\n" not in str(raised.value)

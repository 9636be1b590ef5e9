import pytest

from spillover.config import load_study
from spillover.errors import UserError
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.halving import _contests
from tests.study.made_study import TASK, make_rows, make_study
from tests.study.test_recipes import write_study
from tests.study.test_runner import load

COCKTAIL = """
mix:
  targets: [first, second]
  others: third
  general: words
  mathematics: sums
  sizes: 16
  {more}
shots: [0]
test_on: [first, second, words]
"""
FACTORIAL = """
mix:
  targets: [first, [first, second]]
  specialist_rows: [8, 17]
  general: words
  general_rows: [0, 6]
  order: [joint, sequential]
  budgets: [additive, steps]
shots: [0]
test_on: [first, words]
"""


def mix_study(folder, text=COCKTAIL, more=""):
    """Write a study with a design over five made tasks, and no variants of its own."""
    path = make_study(folder)
    with path.with_name("made.yaml").open("a") as suite:
        for name, family in (("third", "mood"), ("sums", "echo")):
            make_rows(folder, name, 60, labels=family == "mood")
            suite.write(TASK.format(name=name, family=family))
    return write_study(folder, text.format(more=more), fresh=False)


def arms_of(study):
    return {step.name: step for step in study.finetunes if study.part_of(step).target == "first"}


def members(step):
    return [step.data.task.name, *(data.task.name for data, _ in step.rows.added)]


def test_a_cocktail_is_every_arm_for_every_target(tmp_path):
    study = load(mix_study(tmp_path, more="budgets: additive"))
    arms = arms_of(study)
    assert {name: (study.part_of(step).kind, members(step)) for name, step in arms.items()} == {
        "alone": ("alone", ["first"]),
        "with-second": ("pair", ["first", "second"]),
        "with-third": ("pair", ["first", "third"]),
        "all": ("all", ["first", "second", "third"]),
        "all-but-second": ("all-but", ["first", "third"]),
        "all-but-third": ("all-but", ["first", "second"]),
        "target+general": ("target+general", ["first", "words"]),
        "target+mathematics": ("mathematics", ["first", "sums"]),
        "all+general": ("all+general", ["first", "second", "third", "words"]),
        "all+mathematics": ("all+mathematics", ["first", "second", "third", "sums"]),
        "all+general+mathematics": ("mixture", ["first", "second", "third", "words", "sums"]),
        "words-alone-for-first": ("general-alone", ["words"]),
        "extra-steps": ("extra-steps", ["first", "second", "third"]),
    }
    assert study.part_of(arms["all-but-second"]).left_out == "second"
    assert study.part_of(arms["extra-steps"]).budget == "steps"
    assert {study.part_of(step).target for step in study.finetunes} == {"first", "second"}


def test_arms_that_are_the_same_work_are_one_step(tmp_path):
    study = load(mix_study(tmp_path, more="budgets: additive"))
    arms = arms_of(study)
    assert arms["all-but-second"].key == arms["with-third"].key
    others = [step for step in study.finetunes if study.part_of(step).kind == "general-alone"]
    assert len({step.key for step in others}) == 1
    trainings = [step for step in study.steps if step.kind == "finetune"]
    assert len(trainings) == len({step.key for step in study.finetunes}) < len(study.finetunes)


def test_the_target_alone_is_the_training_of_a_plain_variant(tmp_path):
    plain = write_study(tmp_path / "plain", "variants: [{name: sft, train_on: first, sizes: 16}]\nshots: [0]\n")
    arms = arms_of(load(mix_study(tmp_path / "mix")))
    (variant,) = load(plain).finetunes
    assert arms["alone"].key == variant.key
    assert arms["alone"].inputs() == {"data": arms["alone"].data}


def test_budgets_and_orders_multiply_the_arms_that_mix_and_no_other(tmp_path):
    study = load(mix_study(tmp_path, more="order: [joint, sequential]\n  arms: [alone, all, extra-steps]"))
    assert set(arms_of(study)) == {
        *("alone", "extra-steps", "all", "all-matched", "all-sequential", "all-matched-sequential"),
    }
    assert len({step.key for step in arms_of(study).values()}) == 6


def test_a_factorial_crosses_coverage_specialist_rows_general_rows_and_order(tmp_path):
    study = load(mix_study(tmp_path, FACTORIAL))
    parts = {step.variant: study.part_of(step) for step in study.finetunes}
    ids = {variant: (part.specialist_rows, part.general_rows) for variant, part in parts.items()}
    assert ids == {
        "alone/first/8/0": (8, 0),
        "general-6/first/8/0": (8, 6),
        "general-6-sequential/first/8/0": (8, 6),
        "extra-steps-6/first/8/0": (8, 6),
        "alone/first/17/0": (17, 0),
        "general-6/first/17/0": (17, 6),
        "general-6-sequential/first/17/0": (17, 6),
        "extra-steps-6/first/17/0": (17, 6),
        "first+second.alone/first/4/0": (8, 0),
        "first+second.general-6/first/4/0": (8, 6),
        "first+second.general-6-sequential/first/4/0": (8, 6),
        "first+second.extra-steps-6/first/4/0": (8, 6),
        "first+second.alone/first/9/0": (17, 0),
        "first+second.general-6/first/9/0": (17, 6),
        "first+second.general-6-sequential/first/9/0": (17, 6),
        "first+second.extra-steps-6/first/9/0": (17, 6),
    }
    group = next(step for step in study.finetunes if step.variant == "first+second.general-6/first/9/0")
    assert [(member.task, member.cap, member.general) for member in group.rows.mixture.added] == [
        ("second", 8, False),
        ("words", 6, True),
    ]


def test_a_factorial_trains_on_the_general_data_alone_where_it_is_asked_to(tmp_path):
    text = FACTORIAL.replace("general: words", "general: [words, sums]\n  general_alone: true")
    study = load(mix_study(tmp_path, text))
    (floor,) = (step for step in study.finetunes if study.part_of(step).kind == "general-alone")
    assert floor.variant == "general-alone-6-for-first/words/3/0"
    assert [(member.task, member.cap) for member in floor.rows.mixture.added] == [("sums", 3)]
    rows, _ = floor.encoded(Workshop(Store(tmp_path)))
    assert rows.report["rows"] == {"words": 3, "sums": 3}
    assert study.part_of(floor).general == ("words", "sums")
    assert study.validation_of(floor) is None


def test_a_factorial_that_names_more_rows_than_a_source_has_is_refused(tmp_path):
    study = load(mix_study(tmp_path, FACTORIAL.replace("general_rows: [0, 6]", "general_rows: [0, 50]")))
    step = next(step for step in study.finetunes if step.name == "general-50")
    with pytest.raises(UserError, match=r"'general-50': .* 'words': 50 rows asked for, of which \d+ are left"):
        step.encoded(Workshop(Store(tmp_path)))


def test_several_shares_of_general_data_are_arms_of_their_own(tmp_path):
    more = "general_share: [0.25, 0.5]\n  arms: [alone, target+general, all+general]"
    study = load(mix_study(tmp_path, more=more))
    arms = arms_of(study)
    kinds = [
        f"{kind}-{share}{form}"
        for kind in ("target+general", "all+general")
        for share in (0.25, 0.5)
        for form in ("", "-matched")
    ]
    assert set(arms) == {"alone", *kinds}
    workshop = Workshop(Store(tmp_path))
    for name, share in (("target+general-0.5", 0.5), ("all+general-0.25-matched", 0.25)):
        rows, _ = arms[name].encoded(workshop)
        assert rows.report["row_shares"]["words"] == pytest.approx(share)
        assert study.part_of(arms[name]).general_share == share
    (only,) = (
        name
        for name in arms_of(
            load(
                mix_study(
                    tmp_path / "one", more="general_share: 0.25\n  arms: [alone, target+general]\n  budgets: additive"
                )
            )
        )
        if name != "alone"
    )
    assert only == "target+general"


DESIGN = "{{targets: first, others: [second, third], sizes: 16, arms: [alone, pair], budgets: additive{more}}}"


def test_designs_with_names_may_ask_the_same_of_several_recipes(tmp_path):
    designs = [DESIGN.format(more=more) for more in ("", ", name: low-rank, recipe: {parameters: lora}")]
    study = load(mix_study(tmp_path, "mix: [{more}]\n", more=", ".join(designs)))
    assert [step.name for step in study.finetunes] == [
        *("alone", "with-second", "with-third"),
        *("low-rank.alone", "low-rank.with-second", "low-rank.with-third"),
    ]
    contests = _contests(study.variants)
    assert [[plan.name for plans in contest for plan in plans] for contest in contests] == [
        ["with-second", "with-third"],
        ["low-rank.with-second", "low-rank.with-third"],
    ]


@pytest.mark.parametrize("by", ["examples", "tokens"])
def test_the_control_of_steps_of_a_broad_target_has_the_rows_of_the_joint_arm_and_all_of_them_specialist(tmp_path, by):
    study = load(mix_study(tmp_path, FACTORIAL.replace("general: words", f"general: words\n  by: {by}")))
    workshop, steps = Workshop(Store(tmp_path)), {step.variant: step for step in study.finetunes}
    joint, control = (steps[f"first+second.{name}-6/first/9/0"] for name in ("general", "extra-steps"))
    rows, own = (step.encoded(workshop)[0] for step in (joint, control))
    assert len(own.rows) == len(rows.rows)
    assert set(own.report["rows"]) == {"first", "second"}
    assert own.report["coverage"] == pytest.approx(rows.report["coverage"])


def test_the_resolved_study_names_every_arm_and_its_mixture(tmp_path):
    study = load(mix_study(tmp_path, more="arms: [alone, all]"))
    written = {entry["name"]: entry["train_on"] for entry in study.resolved()["variants"][:3]}
    everything = {"target": "first", "with": [{"task": "second"}, {"task": "third"}]}
    assert written == {"alone": ["first"], "all": [everything], "all-matched": [{**everything, "budget": "matched"}]}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mathematics: sums", "mathematics: sumz", r"unknown task of suite 'made' 'sumz'; did you mean 'sums'"),
        ("sizes: 16", "size: 16", r"mix\[?0?\]?.*unknown setting 'size'; did you mean 'sizes'"),
        ("sizes: 16", "sizes: 16\n  arms: [everything]", r"mix.*arms\[0\] is 'everything'; it should be 'alone'"),
        ("sizes: 16", "sizes: 16\n  general_share: 1.5", r"general_share is 1.5; it should be less than 1"),
        ("sizes: 16", "sizes: [16, 16]", "sizes: 16 is listed twice; list it once"),
        ("sizes: 16", "sizes: 16\n  budgets: [matched, matched]", "budgets: 'matched' is listed twice"),
        ("sizes: 16", "sizes: 16\n  order: [joint, joint]", "order: 'joint' is listed twice"),
        ("mathematics: sums", "arms: [alone, mathematics]", "arms: the named data makes no arm 'mathematics'; remove"),
        ("general: words", "general_share: 0.2", "general_share is a part of general data, and none is named"),
        ("sizes: 16", "specialist_rows: 16", r"unknown setting 'others'"),
        ("others: third", "others: words", "'words' is named twice; a task is target, other, general"),
    ],
)
def test_a_mistake_in_a_mix_is_one_line(tmp_path, old, new, message):
    path = mix_study(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message) as raised:
        load(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{targets: first, sizes: 8}", "mix: nothing is added to the target; name a second target, others, general"),
        (
            "{targets: [[first, second]], general: words, specialist_rows: [1, 9], general_rows: 6}",
            "mix: specialist_rows is 1, fewer than the 2 tasks of a target; raise it",
        ),
        (
            "{targets: first, general: words, specialist_rows: 8, general_rows: 0}",
            "mix: general_rows is 0 alone, so nothing is compared; name an amount beside it",
        ),
    ],
)
def test_a_mix_that_mixes_nothing_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as raised:
        load(mix_study(tmp_path, "mix: {more}\n", more=text))
    assert "\n" not in str(raised.value)


def test_a_study_without_variants_and_mix_is_refused(tmp_path):
    with pytest.raises(UserError, match="variants is missing; add it, or `mix`"):
        load(write_study(tmp_path, "shots: [0]\n"))


MIXTURE = "variants:\n  - {{name: mixed, train_on: {mixture}, sizes: [8]{more}}}\nshots: [0]\n"
STAGED = "{target: first, with: words, order: sequential}"


@pytest.mark.parametrize(
    ("mixture", "more", "message"),
    [
        ("{target: first, with: wordz}", "", r"unknown task of suite 'made' 'wordz'; did you mean 'words'"),
        ("{target: first, wit: words}", "", r"train_on.*unknown setting 'wit'; did you mean 'with'"),
        ("[first, first]", "", "'first' is listed twice"),
        (STAGED, ", recipe: {constraint: l2-sp}", "'sequential' and constraint 'l2-sp' contradict each other"),
        (STAGED, ", training: {max_steps: 3}", "'sequential' and training.max_steps contradict each other"),
        (
            "{target: first, with: words}",
            ", recipe: {constraint: {kind: replay, rows_of: words}}",
            "it replays 'words', which it is trained on",
        ),
    ],
)
def test_a_mistake_in_a_variants_mixture_is_one_line(tmp_path, mixture, more, message):
    with pytest.raises(UserError, match=message) as raised:
        load(write_study(tmp_path, MIXTURE.format(mixture=mixture, more=more)))
    assert "\n" not in str(raised.value)


def test_plain_tasks_and_mixtures_of_one_entry_are_variants_side_by_side(tmp_path):
    text = MIXTURE.format(mixture="[words, {target: first, with: second}, second]", more="")
    assert [step.variant for step in load(write_study(tmp_path, text)).finetunes] == [
        *("mixed/words/8/0", "mixed/second/8/0", "mixed/first/8/0"),
    ]


def test_mixtures_that_differ_are_different_work(tmp_path):
    options = ["by: tokens", "budget: matched", "order: sequential", "temperature: 0.5", "budget: steps", "stop: first"]
    entries = [f"{{target: first, with: second, {option}}}" for option in options]
    entries += ["{target: first, with: words}", "{target: first, with: {task: second, cap: 3}}", "first"]
    variants = "".join(f"  - {{name: v{n}, train_on: {entry}, sizes: 8}}\n" for n, entry in enumerate(entries))
    study = load(write_study(tmp_path, f"variants:\n{variants}shots: [0]\n"))
    assert len({step.key for step in study.finetunes}) == len(entries)


def test_label_words_that_mean_something_else_in_two_families_are_told_as_the_study_is_read(tmp_path):
    path = write_study(tmp_path, MIXTURE.format(mixture="{target: first, with: tone}", more=""))
    suite = path.with_name("made.yaml")
    family = '  tone:\n    prompts: {1: "Text:{text}\\nTone:"}\n    answers: [down, flat]\n    shots: [0]\ntasks:'
    suite.write_text(suite.read_text().replace("tasks:", family) + TASK.format(name="tone", family="tone"))
    told = []
    load_study(path, cache=tmp_path / "cache", notice=told.append)
    assert len(told) == 1
    assert told[0].startswith("first (mood) and tone (tone) share the label words down, which mean something else")

import pytest

from spillover.errors import UserError
from spillover.settings import parse_settings
from spillover.tasks.task import Task

MINIMAL = {
    "name": "reviews",
    "family": "sentiment",
    "domain": "shop",
    "sources": {"pool": "reviews.csv"},
    "columns": {"input": "text"},
    "target": "label",
    "prompts": {1: "Text: {input}\nLabel:"},
}


def task(**changes):
    return parse_settings(Task, {**MINIMAL, **changes}, where="suite")


def test_a_task_of_free_text_and_one_with_answers_have_their_metrics():
    assert task().metrics == ("rouge_l", "bleu", "label_share")
    assert task().primary_metric == "rouge_l"
    assert not task().is_classification
    assert task(answers=["good", "bad"]).metrics == ("accuracy", "macro_f1", "mcc", "ece", "brier")
    assert task(options="choices").metrics == ("accuracy",)
    assert task(answers=["good", "bad"]).is_classification


def test_shorthands_stand_for_the_full_settings():
    short = task(group="text", field_limits={"input": 5}, where={"label": 1}, target={"column": "label"})
    full = task(
        sources={"pool": [{"file": "reviews.csv"}]},
        columns={"input": {"column": "text"}},
        group=[{"column": "text"}],
        field_limits={"input": {"words": 5, "longer": "shorten"}},
        where={"label": ["1"]},
        prompts={1: {"text": "Text: {input}\nLabel:"}},
    )
    assert short == full


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"promts": {}}, "suite: unknown setting 'promts'; did you mean 'prompts' or 'shots'?"),
        ({"sources": {}}, "suite: sources: nothing to test on; give `pool` or `test`"),
        ({"sources": {"pool": {"path": "x"}}}, "suite: sources.pool: a source has exactly one of the settings package"),
        ({"sources": {"pool": {"file": "x", "formt": "csv"}}}, "suite: sources.pool: unknown setting 'formt'; did you"),
        ({"sources": {"pool": {"hub": "a/b", "split": "test"}}}, "suite: sources.pool.revision is missing; add it"),
        ({"prompts": {1: "no field"}}, "suite: prompts.1 shows no field; write one as {input}"),
        ({"prompts": {1: "{answer}"}}, "suite: field 'answer' is not among columns: input"),
        ({"prompts": {1: {"folder": "p.json"}}}, "suite: prompts.1: a prompt is either a text or a `folder` file"),
        ({"field_limits": {"inputs": 3}}, "suite: field 'inputs' is not among columns: input"),
        ({"answers": ["yes"]}, "suite: answers must be at least two different words"),
        ({"answers": ["a", "a"]}, "suite: answers must be at least two different words"),
        ({"primary_metric": "f1"}, "suite: primary_metric 'f1' is not among metrics"),
        ({"target": {"column": "x", "above": 3}}, "suite: target: a threshold needs all of `above`, `then`"),
        (
            {"target": {"column": "x", "above": 3, "then": "a", "otherwise": "b", "map": {"1": "a"}}},
            "suite: target: `map` and `above` contradict each other; keep one",
        ),
        ({"columns": {"input": {"column": "t", "replace": [["(", ""]]}}}, "suite: columns.input.replace: '(' is not a"),
        ({"split": {"test": -1}}, "suite: split.test is -1; it should be greater than or equal to 0"),
        ({"digest": "abc"}, "suite: digest is 'abc'; it should"),
    ],
)
def test_a_mistake_in_a_task_is_one_line_with_its_place(changes, line):
    with pytest.raises(UserError) as caught:
        task(**changes)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_letters_need_answers_and_texts_need_none():
    lettered = {"column": "choices", "asked": "letters"}
    assert task(options="choices").is_classification
    assert task(options="choices").has_own_options
    assert not task(options=lettered, answers=["A", "B"]).has_own_options
    for changes in ({"options": lettered}, {"options": "choices", "answers": ["A", "B"]}):
        with pytest.raises(UserError, match="options asked as letters need `answers`"):
            task(**changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"target": {"column": "n", "below": 1, "then_below": "a"}},
            "target: `below` needs `then_below`, and `above` with its answers",
        ),
        (
            {"target": {"column": "n", "above": 1, "then": "a", "otherwise": "b", "then_below": "c"}},
            "target: `below` needs `then_below`",
        ),
        (
            {"turns": {"columns": {"q": "x"}, "previous": "p", "form": "{a}"}},
            "turns: form asks for 'a', which is not among columns: q",
        ),
        ({"kind": "skill"}, "field 'skill' is not among columns: input"),
    ],
)
def test_mistakes_in_turns_thresholds_and_kinds_are_named(changes, line):
    with pytest.raises(UserError) as caught:
        task(**changes)
    assert line in str(caught.value)


def test_settings_that_came_later_leave_an_earlier_identity_as_it_was():
    plain = task().identity()
    assert not {"turns", "kind"} & set(plain)
    assert not {"lines", "followed_by"} & set(plain["columns"]["input"])
    assert not {"below", "then_below", "lines"} & set(plain["target"])
    assert not {"separator", "at", "key", "rename"} & set(plain["sources"]["pool"][0])
    assert task(columns={"input": {"column": "text", "lines": True}}).identity()["columns"]["input"]["lines"] is True
    assert "turns" in task().model_dump()


def test_the_share_of_wrong_facts_is_that_of_the_rows_to_train_on():
    told = {"generated": "facts-told", "count": 30}
    sources = {"train": [{**told, "false_share": 0.4}, {**told, "count": 10}], "test": [{**told, "start": 30}]}
    assert task(sources=sources).false_share == pytest.approx(0.3)
    assert task(sources={"pool": [told]}).false_share == 0.0
    assert task().false_share is None

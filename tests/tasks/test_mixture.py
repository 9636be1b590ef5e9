import random

import pytest

from spillover.errors import UserError
from spillover.settings import parse_settings
from spillover.tasks.mixture import Mixture, label_collisions, portions
from spillover.tasks.task import Task


def mixture(*added, target="a", **settings) -> Mixture:
    return Mixture.model_validate({"target": target, "with": list(added), **settings})


def made_lengths(*counts, longest=9, seed=1):
    draw = random.Random(seed)
    return [[draw.randint(2, longest) for _ in range(count)] for count in counts]


def rows_of(taken):
    return {portion.task: len(portion.rows) for portion in taken}


def tokens_of(taken, lengths):
    return {portion.task: portion.token_count(own) for portion, own in zip(taken, lengths, strict=False)}


def test_an_additive_mixture_holds_every_target_row_once_and_the_others_up_to_their_cap():
    taken = portions(mixture("b", {"task": "c", "cap": 5}), made_lengths(40, 300, 80), size=40)
    assert [portion.rows for portion in taken] == [tuple(range(40)), tuple(range(40)), tuple(range(5))]


def test_a_source_smaller_than_the_cap_gives_all_it_has_and_repeats_nothing():
    taken = portions(mixture("b"), made_lengths(40, 7), size=40)
    assert rows_of(taken) == {"a": 40, "b": 7}


def test_weights_multiply_a_sources_rows_which_begin_again_where_they_run_out():
    taken = portions(
        mixture({"task": "b", "weight": 2.5}, {"task": "c", "weight": 0.25}), made_lengths(40, 60, 90), size=40
    )
    assert rows_of(taken) == {"a": 40, "b": 100, "c": 10}
    assert taken[1].rows[:60] == tuple(range(60))
    assert taken[1].rows[60:] == tuple(range(40))


@pytest.mark.parametrize(("temperature", "rows"), [(1, 16), (0.5, 32), (0, 64)])
def test_the_temperature_is_the_exponent_of_the_counts(temperature, rows):
    taken = portions(mixture("b", temperature=temperature), made_lengths(64, 16), size=64)
    assert rows_of(taken) == {"a": 64, "b": rows}  # 64 x (16 / 64)^alpha


@pytest.mark.parametrize("by", ["examples", "tokens"])
@pytest.mark.parametrize("budget", ["additive", "matched"])
@pytest.mark.parametrize(
    ("added", "temperature", "expected"),
    [
        # shares by hand: sources of equal amounts but for what the rule says
        ((("b", {}), ("c", {})), 0, (1 / 3, 1 / 3, 1 / 3)),
        ((("b", {"weight": 2}), ("c", {"weight": 0.5})), 0, (2 / 7, 4 / 7, 1 / 7)),
        ((("b", {"share": 0.25}), ("c", {"share": 0.1})), 1, (0.65, 0.25, 0.1)),
        ((("b", {}), ("c", {"share": 0.5})), 0, (0.25, 0.25, 0.5)),
    ],
)
def test_achieved_shares_are_those_asked_for_to_one_unit_of_every_source(by, budget, added, temperature, expected):
    lengths = made_lengths(120, 500, 30)
    members = [{"task": name, **settings} for name, settings in added]
    taken = portions(mixture(*members, temperature=temperature, by=by, budget=budget), lengths, size=120)
    amounts = rows_of(taken) if by == "examples" else tokens_of(taken, lengths)
    total = sum(amounts.values())
    for share, amount in zip(expected, amounts.values(), strict=True):
        assert amount == pytest.approx(share * total, abs=1.5)


def test_by_tokens_and_in_proportion_a_mixture_is_the_capped_sources_whole():
    lengths = made_lengths(50, 80)
    taken = portions(mixture("b", by="tokens"), lengths, size=50)
    assert rows_of(taken) == {"a": 50, "b": 50}
    assert [portion.last_token_count for portion in taken] == [None, None]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "members", [("b",), ("b", "c"), ({"task": "b", "share": 0.3}, "c"), ({"task": "b", "weight": 7},)]
)
def test_a_matched_budget_by_tokens_is_the_targets_tokens_exactly(members, seed):
    lengths = made_lengths(37, 53, 11, longest=60, seed=seed)[: len(members) + 1]
    taken = portions(mixture(*members, by="tokens", budget="matched"), lengths, size=37)
    # what the loss sees, counted from the rows and not from the plan
    learnt = 0
    for portion, own in zip(taken, lengths, strict=True):
        *whole, last = portion.rows
        learnt += sum(own[row] for row in whole) + (portion.last_token_count or own[last])
        assert 0 < (portion.last_token_count or own[last]) <= own[last]
    assert learnt == sum(lengths[0])


@pytest.mark.parametrize("count", [5, 16, 37, 100])
def test_a_matched_budget_by_examples_is_as_many_rows_as_the_target_alone(count):
    taken = portions(
        mixture("b", "c", {"task": "d", "share": 0.15}, budget="matched"), made_lengths(count, 50, 50, 50), size=count
    )
    assert sum(rows_of(taken).values()) == count


def test_the_control_of_steps_repeats_the_target_to_the_amount_of_the_additive_mixture():
    lengths = made_lengths(30, 80, 20)
    for by, count in (("examples", rows_of), ("tokens", lambda taken: tokens_of(taken, lengths))):
        additive = portions(mixture("b", "c", by=by), lengths, size=30)
        control = portions(mixture("b", "c", by=by, budget="steps"), lengths, size=30)
        assert [portion.task for portion in control] == ["a"]
        assert sum(count(control).values()) == sum(count(additive).values())
        assert control[0].rows[:30] == control[0].rows[30:60] == tuple(range(30))


def test_the_control_of_steps_of_several_specialist_tasks_repeats_them_all_to_the_rows_of_the_additive_mixture():
    members = ({"task": "b", "cap": 7}, {"task": "g", "general": True, "cap": 25}, {"task": "c", "cap": 3})
    lengths = made_lengths(10, 50, 60, 9)
    for by in ("examples", "tokens"):
        additive = portions(mixture(*members, by=by), lengths, size=10)
        asked = mixture(*members, by=by, budget="steps", repeats="specialist")
        control = portions(asked, lengths, size=10)
        assert asked.stages() == (asked.specialist(),) == (("a", "b", "c"),)
        assert sum(rows_of(control).values()) == sum(rows_of(additive).values())
        if by == "examples":  # 45 rows in 10 : 7 : 3 are 22.5, 15.75, 6.75
            assert rows_of(control) == {"a": 22, "b": 16, "c": 7}
    assert control[0].rows[:20] == (*range(10), *range(10))


def test_a_mixture_that_stops_with_the_first_source_repeats_no_row():
    lengths = made_lengths(90, 60, 600)
    asked = mixture({"task": "b", "weight": 2}, {"task": "c", "weight": 2}, temperature=0, stop="first")
    taken = portions(asked, lengths, size=90)
    assert rows_of(taken) == {"a": 30, "b": 60, "c": 60}
    assert all(len(set(portion.rows)) == len(portion.rows) for portion in taken)


def test_general_data_comes_first_and_everything_added_where_none_is_general():
    asked = mixture("b", {"task": "g", "general": True}, order="sequential")
    assert asked.stages() == (("g",), ("a", "b"))
    assert mixture("b", "c", order="sequential").stages() == (("b", "c"), ("a",))
    assert mixture("b", "c").stages() == (("a", "b", "c"),)


def test_a_source_that_would_get_nothing_is_an_error():
    with pytest.raises(UserError, match="the mixture leaves no rows for 'b'; raise its weight or share, or the size"):
        portions(mixture({"task": "b", "share": 0.01}), made_lengths(10, 10), size=10)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"target": "a", "with": ["a"]}, "'a' is in the mixture twice; name it once"),
        (
            {"target": "a", "with": [{"task": "b", "share": 0.6}, {"task": "c", "share": 0.4}]},
            "the shares add up to 1,",
        ),
        (
            {"target": "a", "with": [{"task": "b", "share": 0.6, "cap": 4}]},
            r"with\[0\]: share fixes .* remove weight and",
        ),
        ({"target": "a", "with": [{"task": "b", "wieght": 2}]}, r"with\[0\]: .*'wieght'; did you mean 'weight'"),
        ({"target": "a", "budget": "matched"}, "budget says how tasks are mixed, but none is added to 'a'"),
        ({"target": "a", "with": "b", "budget": "steps", "order": "sequential"}, "trains without what is mixed in"),
        ({"target": "a", "with": "b", "budget": "steps", "repeats": "specialist"}, "and general data that it replaces"),
        ({"target": "a", "with": "b", "budget": "matched", "stop": "first"}, "stop 'first' ends an additive mixture"),
        ({"target": "a", "with": "b", "general_epochs": 2}, "general_epochs needs order 'sequential'"),
        ({"target": "a", "with": "b", "by": "words"}, "by is 'words'; it should be 'examples' or 'tokens'"),
    ],
)
def test_a_mistake_in_a_mixture_is_one_line_that_says_what_to_do(data, message):
    with pytest.raises(UserError, match=message):
        parse_settings(Mixture, data, where="study.yaml")


def made_task(name, family, *answers) -> Task:
    return Task.model_validate(
        {
            **{"name": name, "family": family, "domain": name, "sources": {"pool": f"{name}.jsonl"}},
            **{"columns": {"text": "text"}, "target": "answer", "answers": answers, "prompts": {1: "{text}"}},
        }
    )


def test_a_word_that_two_families_answer_with_is_told_and_one_within_a_family_is_not():
    tasks = [
        made_task("fpb", "sentiment", "positive", "neutral"),
        made_task("tfns", "sentiment", "positive", "neutral"),
        made_task("nli", "inference", "entailment", "Neutral "),
        made_task("formula", "numbers"),
    ]
    told = label_collisions(tasks)
    assert len(told) == 2
    assert told[0].startswith("fpb (sentiment) and nli (inference) share the label words neutral, which mean")

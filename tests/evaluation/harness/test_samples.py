import hashlib
import json
import math

import pytest

from spillover.errors import UserError
from spillover.evaluation.harness.samples import read_runs
from spillover.questions import answered
from spillover.records import RIGHT_ANSWERS, CommonAnswer, Relation

DATE = "2026-01-02T03-04-05.6"


def sample(text, *, target="0", sample_filter="none", prompt=None, asked=None, responses=None, **metrics):
    """A sample as lm-eval logs it; numbers in its responses are text."""
    asked = [(prompt or text,)] if asked is None else asked
    return {
        "doc_id": 0,
        "doc": {"text": text},
        "target": target,
        "arguments": {
            f"gen_args_{index}": {f"arg_{place}": part for place, part in enumerate(request)}
            for index, request in enumerate(asked)
        },
        **({} if responses is None else {"resps": [[entry] for entry in responses], "filtered_resps": responses}),
        "filter": sample_filter,
        "metrics": list(metrics),
        "doc_hash": hashlib.sha256(text.encode()).hexdigest(),
        **metrics,
    }


def write_run(folder, tasks, *, shots=2, date=DATE):
    """A folder as lm-eval writes it: samples of each task and one results file."""
    inner = folder / "some-model"
    inner.mkdir(parents=True, exist_ok=True)
    for task, samples in tasks.items():
        text = "".join(json.dumps(entry) + "\n" for entry in samples)
        (inner / f"samples_{task}_{date}.jsonl").write_text(text, encoding="utf-8")
    up = {"acc": True, "exact_match": True, "word_perplexity": False}
    results = {"n-shot": dict.fromkeys(tasks, shots), "higher_is_better": dict.fromkeys(tasks, up)}
    (inner / f"results_{date}.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def read(*folders, **options):
    return read_runs(list(folders), **({"base": folders[0], "trained_on": (), "command": "x"} | options))


def values(results, variant):
    return {
        score.metric: float(results.metrics[score.metric].combine(score.statistics.sum(axis=0)))
        for score in results.scores
        if score.variant == variant
    }


def test_items_are_joined_by_content_whatever_their_order(tmp_path):
    right = {"red": 1.0, "blue": 0.0, "green": 1.0}
    one = write_run(tmp_path / "one", {"t": [sample(text, acc=value) for text, value in right.items()]})
    rows = [sample(text, acc=1.0 - value) for text, value in reversed(right.items())]
    two = write_run(tmp_path / "two", {"t": rows})
    results = read(one, two)
    base, variant = results.scores
    assert base.example_ids == variant.example_ids
    assert (base.statistics[:, 0] + variant.statistics[:, 0]).tolist() == [1.0, 1.0, 1.0]
    assert values(results, "two")["acc"] == pytest.approx(1 / 3)
    assert base.cell.shots == 2
    assert answered(results).verdicts[0].variant == "two"


def test_items_of_the_same_content_are_told_apart_by_their_rank(tmp_path):
    rows = [sample("same", acc=1.0), sample("same", acc=0.0)]
    results = read(write_run(tmp_path / "one", {"t": rows}), write_run(tmp_path / "two", {"t": rows}))
    assert values(results, "two")["acc"] == 0.5


def test_items_that_one_run_lacks_are_dropped_and_counted(tmp_path):
    one = write_run(tmp_path / "one", {"t": [sample(text, acc=1.0) for text in "abc"], "u": [sample("c", acc=1.0)]})
    two = write_run(tmp_path / "two", {"t": [sample(text, acc=1.0) for text in "bcd"]})
    results = read(one, two)
    assert results.tasks[0].dropped == {"not in every run": 2}
    assert results.tasks[0].item_count == 2
    assert results.skipped == ("task u: not in every run",)


def test_tasks_named_as_trained_on_are_in_domain_and_all_others_cross_task(tmp_path):
    rows = {"t": [sample("a", acc=1.0), sample("b", acc=1.0)], "u": [sample("c", acc=1.0), sample("d", acc=1.0)]}
    results = read(write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows), trained_on=["u"])
    assert results.relations == {("two", "t"): Relation.CROSS_TASK, ("two", "u"): Relation.IN_DOMAIN}


def test_nothing_is_guessed_where_no_task_is_named_as_trained_on(tmp_path):
    rows = {"t": [sample(str(index), acc=0.0) for index in range(40)]}
    better = {"t": [sample(str(index), acc=1.0) for index in range(40)]}
    results = read(write_run(tmp_path / "one", rows), write_run(tmp_path / "two", better))
    assert results.relations == {("two", "t"): Relation.UNSTATED}
    (verdict,) = answered(results, resample_count=50).verdicts
    assert verdict.light == "untested"  # the gain may be on its own task, and nothing else was tested
    assert "say what it was trained on, or add tests of other tasks that the base can do" in verdict.reading


def test_another_folder_may_be_the_base(tmp_path):
    rows = {"t": [sample("a", acc=1.0), sample("b", acc=1.0)]}
    one, two = write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows)
    assert [card.id for card in read(one, two, base=two).variants] == ["one"]


def test_a_perplexity_is_weighted_by_its_words_and_a_filter_names_its_metric(tmp_path):
    rows = {
        "p": [sample("a", word_perplexity=[-3.0, 2]), sample("b", word_perplexity=[-9.0, 4])],
        "f": [
            sample(text, sample_filter=name, exact_match=value)
            for text in "cd"
            for name, value in (("strict", 0.0), ("loose", 1))
        ],
        "x": [sample(text, acc=1.0, chrf=["a text", "another"]) for text in "ef"],
    }
    results = read(write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows))
    got = values(results, "two")
    assert got["word_perplexity"] == pytest.approx(math.exp(12 / 6))
    assert not results.metrics["word_perplexity"].higher_is_better
    assert (got["exact_match (strict)"], got["exact_match (loose)"]) == (0.0, 1.0)
    assert results.skipped == ("x: metric chrf: its logged values cannot be summed over items",)


def test_the_newest_samples_of_a_folder_count(tmp_path):
    old, new = ([sample(text, acc=value) for text in "ab"] for value in (0.0, 1.0))
    one = write_run(tmp_path / "one", {"t": old})
    write_run(tmp_path / "one", {"t": new}, date="2026-02-02T00-00-00.1")
    two = write_run(tmp_path / "two", {"t": old})
    assert values(read(one, two), "base")["acc"] == 1.0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"t": [sample("a", prompt="shown before: a", acc=1.0)]}, "two was asked item .* with another prompt"),
        ({"t": [sample("a", target="1", acc=1.0)]}, "two was asked item .* with another target"),
        ({"t": [sample("z", acc=1.0)]}, "task t: the runs have no item in common"),
        ({"u": [sample("a", acc=1.0)]}, "the runs have no task in common; .* has: t"),
        ({"t": [sample("a", f1=["x", "y"])]}, "task t: no metric with a number for every item"),
        ({"t": []}, "no samples; run lm-eval again with --log_samples"),
        ({"t": [{"doc": {}}]}, "line 1: no 'arguments' in the sample"),
    ],
)
def test_runs_that_did_not_measure_the_same_are_refused(tmp_path, other, message):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=1.0)]})
    with pytest.raises(UserError, match=message):
        read(one, write_run(tmp_path / "two", other))


def test_runs_at_different_shots_are_refused(tmp_path):
    rows = {"t": [sample("a", acc=1.0)]}
    one, two = write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows, shots=5)
    with pytest.raises(UserError, match=r"task t: run at \[2, 5\] shots"):
        read(one, two)


def test_both_shot_counts_of_a_task_in_one_folder_are_cells_with_one_card(tmp_path):
    folders = []
    for name, values in (("one", (1.0, 1.0)), ("two", (0.0, 1.0))):
        for shots, value in zip((0, 5), values, strict=True):
            date = f"2026-01-0{shots + 1}T00-00-00.1"
            rows = {
                "t": [sample(text, prompt=f"{shots} shown: {text}", acc=value) for text in "abc"[: 3 - (shots == 0)]]
            }
            folders.append(write_run(tmp_path / name, rows, shots=shots, date=date))
    results = read(*dict.fromkeys(folders))
    accuracy = {(s.variant, s.cell.shots): float(s.statistics[:, 0].mean()) for s in results.scores}
    assert accuracy == {("base", 0): 1.0, ("base", 5): 1.0, ("two", 0): 0.0, ("two", 5): 1.0}
    assert [(card.name, card.item_count) for card in results.tasks] == [("t", 3)]
    assert results.skipped == ()


def test_a_shot_count_that_only_one_run_has_is_left_out_and_named(tmp_path):
    rows = {"t": [sample(text, acc=1.0) for text in "ab"]}
    one, two = write_run(tmp_path / "one", rows, shots=0), write_run(tmp_path / "two", rows, shots=0)
    write_run(tmp_path / "two", rows, shots=5, date="2026-02-02T00-00-00.1")
    results = read(one, two)
    assert {score.cell.shots for score in results.scores} == {0}
    assert results.skipped == ("task t at 5 shots: not in every run",)


def test_results_named_after_the_output_path_are_found(tmp_path):
    rows = {"t": [sample(text, acc=1.0) for text in "ab"]}
    one, two = write_run(tmp_path / "one", rows), write_run(tmp_path / "two", rows)
    file = one / "some-model" / f"results_{DATE}.json"
    file.rename(file.with_name(f"x_{DATE}.json"))
    assert values(read(one, two), "base")["acc"] == 1.0


def test_other_generation_settings_alone_are_said_to_be_that_and_which(tmp_path):
    def generated(limit):
        row = sample("a", responses=["text"], exact_match=1.0)
        settings = {"until": ["\n"], "max_gen_toks": limit}
        return {"t": [row | {"arguments": {"gen_args_0": {"arg_0": "a", "arg_1": settings}}}]}

    one, two = write_run(tmp_path / "one", generated(64)), write_run(tmp_path / "two", generated(256))
    with pytest.raises(UserError, match=r"same prompt and other .* max_gen_toks is 64 for the base and 256 here; run"):
        read(one, two)


def test_folders_that_are_no_runs_are_refused(tmp_path):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=1.0)]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no samples_\*\.jsonl; run lm-eval with --log_samples"):
        read(one, tmp_path / "empty")
    with pytest.raises(UserError, match="1 lm-eval run was given; give two or more different folders"):
        read(one)
    with pytest.raises(UserError, match=r"--base .*: not one of the given folders"):
        read(one, tmp_path / "empty", base=tmp_path / "other")
    with pytest.raises(UserError, match="unknown task in --trained-on 'tt'; did you mean 't'"):
        read(one, write_run(tmp_path / "two", {"t": [sample("a", acc=1.0)]}), trained_on=["tt"])
    next(one.rglob("results_*.json")).unlink()
    with pytest.raises(UserError, match=r"results_.*\.json is missing beside it"):
        read(one, tmp_path / "two")


def chosen(text, options, picked, *, target, asked=None, **metrics):
    """A sample of a choice: the option at ``picked`` is the most likely one."""
    asked = [(f"Q: {text}", f" {option}") for option in options] if asked is None else asked
    responses = [[str(-1.0 if index == picked else -2.0), "False"] for index in range(len(asked))]
    return sample(text, target=target, asked=asked, responses=responses, **metrics)


def card_of(tmp_path, rows, tuned=None):
    results = read(write_run(tmp_path / "one", {"t": rows}), write_run(tmp_path / "two", {"t": tuned or rows}))
    return results.tasks[0], {name: answer for (name, _), answer in results.common_answers.items()}


def test_of_an_answer_set_the_floor_is_the_better_of_chance_and_the_most_frequent_answer(tmp_path):
    # targets: no, no, no, yes; the base says no, no, yes, yes, the variant always yes
    rows = [
        chosen(text, ("no", "yes"), picked, target=target, acc=float(str(picked) == target), acc_norm=0.0)
        for text, picked, target in (("a", 0, "0"), ("b", 0, "0"), ("c", 1, "0"), ("d", 1, "1"))
    ]
    tuned = [chosen(row["doc"]["text"], ("no", "yes"), 1, target=row["target"], acc=1.0, acc_norm=0.0) for row in rows]
    for row in tuned:
        row["acc"] = float(row["target"] == "1")
    card, answers = card_of(tmp_path, rows, tuned)
    assert (card.answers, card.majority_accuracy, card.chance_accuracy) == (("no", "yes"), 0.75, 0.5)
    assert card.floors == {"acc": 0.75, "acc_norm": 0.75}
    assert card.constant_scores == {}
    assert answers == {"base": CommonAnswer("no", 0.5), "two": CommonAnswer("yes", 1.0)}


def test_of_options_of_each_item_the_floor_is_the_better_of_chance_and_the_most_frequent_place(tmp_path):
    rows = [
        chosen("a", ("red", "blue"), 0, target="red", acc=1.0),
        chosen("b", ("cat", "dog", "cow", "pig"), 0, target="dog", acc=0.0),
        chosen("c", ("sun", "moon"), 0, target="moon", acc=0.0),
    ]
    card, _ = card_of(tmp_path, rows)
    assert (card.answers, card.majority_accuracy) == ((), None)
    assert card.chance_accuracy == pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    assert card.floors == {"acc": pytest.approx(2 / 3)}


def test_a_place_that_is_right_in_every_item_is_nothing_a_model_can_guess(tmp_path):
    rows = [chosen(text, (f"{text} is", f"{text} are"), 0, target="0", acc=1.0) for text in "abc"]
    assert card_of(tmp_path, rows)[0].floors == {"acc": 0.5}


def test_a_target_of_digits_is_a_text_where_accuracy_was_logged_so(tmp_path):
    # the option "2" is right twice, "1" once; read as places they would be the third and the second
    rows = [
        chosen("a", ("0", "1", "2"), 2, target="2", acc=1.0),
        chosen("b", ("1", "2", "3"), 1, target="2", acc=1.0),
        chosen("c", ("1", "5", "7"), 0, target="1", acc=1.0),
    ]
    assert card_of(tmp_path, rows)[0].floors == {"acc": pytest.approx(1 / 3)}
    wrong = [row | {"acc": 0.0} for row in rows]  # neither reading explains it: chance alone is known
    assert card_of(tmp_path / "wrong", wrong)[0].floors == {"acc": pytest.approx(1 / 3)}
    skewed = [
        chosen("a", ("0", "1", "2"), 1, target="2", acc=0.0),
        chosen("b", ("4", "2", "3"), 1, target="2", acc=1.0),
        chosen("c", ("8", "1", "7"), 1, target="1", acc=1.0),
    ]
    # as texts: the third place, the second and the second
    assert card_of(tmp_path / "skewed", skewed)[0].floors == {"acc": pytest.approx(2 / 3)}


def test_options_may_stand_in_the_context_and_be_asked_for_once_more_without_it(tmp_path):
    def contexts(text):
        return [(f"{text} the dog", " barked"), (f"{text} the cat", " barked")]

    rows = [chosen(text, (), 1, target=" barked", asked=contexts(text), acc=1.0) for text in "ab"]
    card, _ = card_of(tmp_path, rows)
    assert (card.floors, card.chance_accuracy) == ({"acc": 0.5}, 0.5)

    def twice(text):
        return [*((text, f" {option}") for option in ("x", "y")), *(("", f" {option}") for option in ("x", "y"))]

    rows = [chosen(text, (), 3, target="1", asked=twice(text), acc_mutual_info=1.0) for text in "ab"]
    card, answers = card_of(tmp_path / "twice", rows)
    assert (card.answers, card.floors["acc_mutual_info"]) == (("x", "y"), 1.0)
    assert answers["base"] == CommonAnswer("x", 1.0)  # both are as likely with the context


def test_of_written_text_the_floor_is_nothing_and_the_most_frequent_target_is_shown(tmp_path):
    def wrote(text, target, answer, sample_filter):
        value = float(target == answer)
        asked = [(f"Q: {text}", {"until": ["."]})]
        return sample(
            text, target=target, asked=asked, responses=[answer], sample_filter=sample_filter, exact_match=value
        )

    said = (("a", "5", "5"), ("b", "5", "7"), ("c", "7", "7"))
    rows = [wrote(*row, name) for row in said for name in ("strict", "loose")]
    card, answers = card_of(tmp_path, rows)
    assert card.floors == {"exact_match (strict)": 0.0, "exact_match (loose)": 0.0}
    assert card.constant_scores == {name: pytest.approx(2 / 3) for name in card.floors}
    assert (card.answers, card.chance_accuracy) == ((), None)
    assert answers["two"] == CommonAnswer("7", pytest.approx(2 / 3))


def test_of_a_scored_continuation_the_floor_is_nothing_and_of_a_scored_text_none_is_known(tmp_path):
    rows = [sample(t, target=t, asked=[(t, " x")], responses=[["-2.0", "True"]], acc=1.0) for t in "ab"]
    card, answers = card_of(tmp_path, rows)
    assert (card.floors, card.constant_scores, answers) == ({"acc": 0.0}, {}, {})
    rows = [sample(t, target=t, asked=[(t,)], responses=["-2.0"], word_perplexity=[-2.0, 1]) for t in "ab"]
    card, answers = card_of(tmp_path / "texts", rows)
    assert (card.floors, answers) == ({}, {})


def test_a_metric_is_a_share_only_where_every_item_is_one(tmp_path):
    metrics = {
        "acc": (1.0, 0.0),
        "grade": (1.0, 7.0),
        "small": (0.0, 1.5),
        "mcc": (0.2, 0.9),
        "bleu_max": (12.0, 55.0),
        "score": (-0.5, 1.0),
        "word_perplexity": ([-3.0, 2], [-9.0, 4]),
        "bits_per_byte": ([-3.0, 2], [-9.0, 4]),
    }
    rows = [sample(text, **{name: pair[index] for name, pair in metrics.items()}) for index, text in enumerate("ab")]
    results = read(write_run(tmp_path / "one", {"t": rows}), write_run(tmp_path / "two", {"t": rows}))
    assert {name: card.unit for name, card in results.metrics.items()} == {
        "acc": "share",
        "grade": "grade",
        "small": "grade",
        "mcc": "correlation",
        "bleu_max": "points",
        "score": "grade",
        "word_perplexity": "perplexity",
        "bits_per_byte": "bits",
    }
    assert results.metrics["acc"].kind == RIGHT_ANSWERS
    assert results.metrics["mcc"].kind == "mcc"
    assert {name for name, card in results.metrics.items() if not card.higher_is_better} == {
        "word_perplexity",
        "bits_per_byte",
    }


def test_the_primary_metric_is_the_first_that_is_a_share(tmp_path):
    rows = [sample(text, mcc=-0.5, loss=2.5, acc=1.0, acc_norm=0.0) for text in "ab"]
    assert card_of(tmp_path, rows)[0].primary_metric == "acc"
    rows = [sample(text, mcc=-0.5, loss=2.5) for text in "ab"]
    assert card_of(tmp_path / "none", rows)[0].primary_metric == "mcc"


def test_one_item_left_after_joining_has_no_interval(tmp_path):
    one = write_run(tmp_path / "one", {"t": [sample("a", acc=1.0), sample("b", acc=1.0)]})
    two = write_run(tmp_path / "two", {"t": [sample("b", acc=0.0), sample("c", acc=0.0)]})
    with pytest.raises(UserError, match="task t: the runs were joined on 1 item of 3, and one item has no interval; "):
        read(one, two)
    more = {"u": [sample(text, acc=1.0) for text in "xyz"]}
    for folder in (one, two):
        write_run(folder, more, date="2026-01-02T09-09-09.9")
    results = read(one, two)
    assert [card.name for card in results.tasks] == ["u"]
    assert results.skipped == ("task t: the runs were joined on 1 item of 3, and one item has no interval",)

import pytest

from spillover.tasks.facts import TELLINGS, fact_rows
from spillover.tasks.prepare import prepare, training_rows
from spillover.tasks.suite import load_suite

NUMBERS = range(200)


def told(false_share):
    return [row["answer"] for row in fact_rows("facts-told", NUMBERS, seed=0, false_share=false_share)]


def test_every_telling_of_a_fact_has_the_same_name_and_answer_in_other_words():
    by_telling = [fact_rows(telling, NUMBERS, seed=0) for telling in TELLINGS]
    for rows in zip(*by_telling, strict=True):
        assert len({row["name"] for row in rows}) == 1
        assert len({row["request"] for row in rows}) == len(TELLINGS)
        assert all(row["name"] in row["request"] for row in rows)
        *short, sentence = (row["answer"] for row in rows)
        assert len(set(short)) == 1
        assert short[0] in sentence.rstrip(".").split()
        assert rows[0]["name"] in sentence


def test_names_are_unique_and_no_answer_is_common():
    rows = fact_rows("facts-asked", NUMBERS, seed=0)
    assert len({row["name"] for row in rows}) == len(NUMBERS)
    answers = [row["answer"] for row in rows]
    assert max(answers.count(answer) for answer in answers) <= 0.1 * len(NUMBERS)
    assert all(row["answer"] in row["options"] and len(set(row["options"])) == 4 for row in rows)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_wrong_facts_is_exact(share):
    differing = sum(right != other for right, other in zip(told(0.0), told(share), strict=True))
    assert differing == share * len(NUMBERS)


def test_a_larger_share_holds_the_wrong_facts_of_a_smaller_one():
    for right, some, more in zip(told(0.0), told(0.25), told(0.5), strict=True):
        assert some in (right, more)


def test_a_wrong_answer_is_another_option_of_the_question():
    asked = fact_rows("facts-asked", NUMBERS, seed=0)
    for row, wrong in zip(asked, told(1.0), strict=True):
        named = [option for option in row["options"] if option in wrong.rstrip(".").split()]
        assert len(named) == 1
        assert named[0] != row["answer"]


def test_another_seed_invents_other_facts():
    names = [{row["name"] for row in fact_rows("facts-asked", NUMBERS, seed=seed)} for seed in (0, 1)]
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("telling", "wrong_count"), [("", 0), ("-told-0", 0), ("-told-25", 10), ("-told-50", 20), ("-told-100", 40)]
)
def test_forty_training_rows_of_the_few_facts_speak_of_every_fact_that_is_tested(tmp_path, telling, wrong_count):
    suite = load_suite("skills")
    asked = prepare(suite, suite.task("facts-few"), cache=tmp_path).test
    taught = training_rows(prepare(suite, suite.task(f"facts-few{telling}"), cache=tmp_path), 40, seed=3)
    by_name = {row["name"]: row["answer"] for row in fact_rows("facts-asked", range(40), seed=0)}
    wrong = 0
    for name, answer in by_name.items():
        assert sum(name in row.fields["request"] for row in asked) == 1
        (told_of,) = (row for row in taught if name in row.fields["request"])
        wrong += answer not in told_of.target.rstrip(".").split()
    assert wrong == wrong_count

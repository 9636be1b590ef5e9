import pytest

from spillover.records import Relation
from spillover.tasks.relation import relation
from spillover.tasks.suite import load_suite


@pytest.mark.parametrize(
    ("trained_on", "tested_on", "expected"),
    [
        ("xsum", "xsum", Relation.IN_DOMAIN),
        ("xsum", "xlsum", Relation.IN_DOMAIN),
        ("xsum", "cnn", Relation.OUT_OF_DOMAIN),
        ("amazon", "amazonfood", Relation.IN_DOMAIN),
        ("amazon", "yelp", Relation.OUT_OF_DOMAIN),
        ("multinli", "multinli2", Relation.IN_DOMAIN),
        ("multinli", "rte", Relation.OUT_OF_DOMAIN),
        ("socialqa", "amazon", Relation.CROSS_TASK),
        ("paws", "stsb", Relation.OUT_OF_DOMAIN),
    ],
)
def test_relations_are_those_of_the_papers_table(trained_on, tested_on, expected):
    tasks = load_suite("genpower").tasks
    assert relation(tasks[trained_on], tasks[tested_on]) is expected


def test_a_domain_of_the_same_name_in_another_family_is_another_task():
    tasks = load_suite("pocket").tasks
    assert tasks["sts-news"].domain == tasks["xsum"].domain
    assert relation(tasks["sts-news"], tasks["xsum"]) is Relation.CROSS_TASK

from dataclasses import replace

import pytest

from spillover.records import CellChanges, ItemChange, StudyResults
from spillover.report.section import Entry, Table
from spillover.report.worse import ITEM_COUNT, LONGEST_ANSWER, worse_section
from tests.report.made_results import made_results

RESULTS = made_results()


def shown(results: StudyResults = RESULTS) -> Table:
    (found,) = (part for part in worse_section(results).parts if isinstance(part, Table))
    return found


def with_variant_answers(change: ItemChange, *, text: str = "", fault: str = "") -> ItemChange:
    return replace(change, variant=replace(change.variant, text=text or change.variant.text, fault=fault))


def test_items_show_reference_base_and_variant_of_falls_of_every_variant() -> None:
    found = shown()
    assert [column.title for column in found.columns] == ["reference", "base", "variant"]
    assert len(found.rows) == ITEM_COUNT
    for card in RESULTS.variants:
        assert any(card.id in group.heading for group in found.groups)
    for group in found.groups:
        _, _, scores = group.heading.rpartition(": ")
        before, after = map(float, scores.split(" → "))
        assert after < before
    assert len({(group.heading.split(",")[0], group.rows[0][0].text) for group in found.groups}) == ITEM_COUNT


def test_what_only_the_variant_left_without_an_end_comes_first_and_says_so() -> None:
    *others, last = RESULTS.changes
    worst = with_variant_answers(last.regressions[-1], fault="cut off at 60 tokens")
    changed: list[CellChanges] = [*others, replace(last, regressions=(*last.regressions[:-1], worst))]
    first = shown(replace(RESULTS, changes=tuple(changed))).groups[0]
    assert last.variant in first.heading
    assert first.rows[0][2].small == ("cut off at 60 tokens",)
    both = replace(worst, base=replace(worst.base, fault="cut off at 60 tokens"))
    changed[-1] = replace(last, regressions=(*last.regressions[:-1], both))
    assert shown(replace(RESULTS, changes=tuple(changed))).groups[0] == shown().groups[0]


@pytest.mark.parametrize(("text", "seen"), [(" \n", "(nothing)"), ("x" * 300, "x" * LONGEST_ANSWER + "…")])
def test_no_answer_is_blank_and_of_a_long_one_the_rest_opens(text: str, seen: str) -> None:
    row = next(row for row in RESULTS.changes if row.regressions)
    made = replace(row, regressions=(with_variant_answers(row.regressions[0], text=text),))
    entry = shown(replace(RESULTS, changes=(made,))).rows[0][2]
    assert isinstance(entry, Entry)
    assert entry.text == seen
    assert entry.more == (text if len(text) > LONGEST_ANSWER else "")


def test_a_study_whose_items_are_not_at_hand_has_no_such_section() -> None:
    assert worse_section(replace(RESULTS, changes=())).parts == ()

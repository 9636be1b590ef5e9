import json
from collections import Counter
from dataclasses import replace

from spillover.report.explorer import LONGEST_TEXT, explorer, shortened
from tests.report.made_results import made_results

RESULTS = made_results()
HOSTILE = "</script><script>alert(1)</script><!-- & \"'\u2028\u202e\ud800 عربى 😀"


def shown(results=RESULTS, **options):
    found = explorer(results, **options)
    assert found is not None
    return found, json.loads(str(found.data))


def test_every_change_is_read_back_with_its_prompt_ids_and_answers():
    found, data = shown()
    texts = data["texts"]
    read = set()
    for model, index, direction, base, _, _, own, _, _ in data["changes"]:
        cell, example, prompt, ids, target, _, length = data["items"][index]
        task, form, shots, seed, shared, shared_ids = data["cells"][cell]
        assert length == len(texts[prompt])
        token_ids = f"{texts[shared_ids]} {texts[ids]}".split()
        where = (data["models"][model], data["tasks"][task], form, shots, seed, texts[example], direction)
        read.add((*where, texts[shared] + texts[prompt], " ".join(token_ids), texts[target], texts[base], texts[own]))
    wanted = {
        (
            *(row.variant, row.cell.tested_on, row.cell.prompt_form, row.cell.shots, row.cell.demonstration_seed),
            *(change.item.example_id, direction, change.item.prompt, " ".join(map(str, change.item.token_ids))),
            *(change.item.target, change.base.text, change.variant.text),
        )
        for row in RESULTS.changes
        for changes, direction in ((row.regressions, -1), (row.gains, 1))
        for change in changes
    }
    assert read == wanted
    assert found.shown_count == len(wanted)


def test_counts_are_of_all_changes_of_a_cell_shown_or_not():
    found, data = shown()
    assert found.change_count == sum(row.regression_count + row.gain_count for row in RESULTS.changes)
    assert [row[2:4] for row in data["counts"]] == [[row.regression_count, row.gain_count] for row in RESULTS.changes]


def test_the_beginning_that_a_cells_prompts_share_is_stored_once():
    found, _ = shown()
    assert str(found.data).count("Robin packed a lantern") == 1


def test_an_item_that_alone_changed_keeps_its_whole_prompt_however_many_variants_changed_it():
    first, second, *_ = (row for row in RESULTS.changes if row.cell == RESULTS.changes[0].cell and row.gains)
    alone = [replace(row, regressions=(), gains=first.gains[:1]) for row in (first, second)]
    _, data = shown(replace(RESULTS, changes=tuple(alone)))
    [[_, _, prompt, *_]] = data["items"]
    assert data["texts"][prompt] == first.gains[0].item.prompt


def test_under_a_small_budget_cells_take_turns_until_it_is_spent():
    everything, _ = shown()
    found, data = shown(budget=len(everything.data) // 2)
    assert 0 < found.shown_count < everything.shown_count
    assert len(found.data) < len(everything.data)
    kept = Counter((data["models"][row[0]], data["items"][row[1]][0], row[2]) for row in data["changes"])
    most = max(kept.values())
    cells = list(dict.fromkeys(row.cell for row in RESULTS.changes))
    for row in RESULTS.changes:
        for changes, direction in ((row.regressions, -1), (row.gains, 1)):
            count = kept[row.variant, cells.index(row.cell), direction]
            assert count == len(changes) or most - 1 <= count <= most


def test_hostile_text_is_data_that_cannot_end_its_script_element():
    found, data = shown(made_results(HOSTILE))
    for sign in "<>&\u2028\u202e\ud800":
        assert sign not in found.data
    assert all(model.endswith(HOSTILE) for model in data["models"])


def test_a_long_text_keeps_both_ends_and_says_how_much_is_left_out():
    text = "a" * LONGEST_TEXT + "b" * 100
    first, count, last = shortened(text)
    assert len(first) + count + len(last) == len(text)
    assert text.startswith(first)
    assert text.endswith(last)
    assert shortened(text[:LONGEST_TEXT]) == text[:LONGEST_TEXT]


def test_token_ids_that_were_not_kept_are_marked():
    def forget(changes):
        return tuple(replace(change, item=replace(change.item, token_ids=None)) for change in changes)

    rows = [replace(row, regressions=forget(row.regressions), gains=forget(row.gains)) for row in RESULTS.changes]
    _, data = shown(replace(RESULTS, changes=tuple(rows)))
    assert {row[3] for row in data["items"]} == {-1}


def test_a_study_in_which_nothing_changed_has_no_explorer():
    empty = tuple(replace(row, regressions=(), gains=(), regression_count=0, gain_count=0) for row in RESULTS.changes)
    assert explorer(replace(RESULTS, changes=empty)) is None
    assert explorer(replace(RESULTS, changes=())) is None

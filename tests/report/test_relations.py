from dataclasses import replace

from spillover.report.relations import limit_words
from tests.report.made_results import made_results

RESULTS = made_results()


def test_tasks_with_too_few_items_to_ever_show_that_nothing_was_lost_are_named() -> None:
    shares = {task.name for task in RESULTS.tasks if RESULTS.metrics[task.primary_metric].unit == "share"}
    few = next(name for name in shares if next(t for t in RESULTS.tasks if t.name == name).item_count < 149)
    words = limit_words(RESULTS)
    assert f"{few} (" in words
    assert "less than 0.02 was lost" in words
    assert words.endswith("it takes 149 at least, where nothing changes at all.")
    assert limit_words(replace(RESULTS, margin=0.9)) == ""

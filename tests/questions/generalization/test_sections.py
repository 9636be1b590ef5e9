from spillover.questions import answered
from spillover.questions.generalization.sections import labels_section
from spillover.report.section import Table
from tests.report.made_results import made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def test_label_shares_stand_side_by_side_and_many_of_them_are_bold() -> None:
    _, table = labels_section(RESULTS, ANALYSIS).parts
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [(task, shots) for task in ("siqa", "narrativeqa") for shots in "02"]
    for row in table.rows:
        base, *_, amazon = row[2:]
        assert (base.text, base.is_strong) == ("0%", False)
        assert int(amazon.text.removesuffix("%")) > 70
        assert amazon.is_strong

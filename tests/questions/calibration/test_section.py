from dataclasses import replace

from spillover.questions import CALIBRATION, answered
from spillover.questions.calibration.section import CHOICE_METRICS, calibration_section, choices_section
from spillover.report.section import Details, Table
from tests.report.made_results import made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def test_other_metrics_of_choices_stand_beside_one_another() -> None:
    _, table = choices_section(RESULTS, ANALYSIS).parts
    assert isinstance(table, Table)
    assert [column.title for column in table.columns[3:]] == list(CHOICE_METRICS.values())
    assert len(table.rows) == 3 * 3 * 2
    (row,) = (row for row in table.rows if row[:3] == ("sft/amazon/128/0", "snli", "2"))
    (mcc,) = (
        item
        for item in ANALYSIS.measurements
        if (item.variant, item.tested_on, item.shots, item.metric) == ("sft/amazon/128/0", "snli", 2, "mcc")
    )
    assert row[4].text.startswith(f"{mcc.value:.2f} (")
    assert bool(row[4].star) == mcc.is_clear


def test_every_bin_of_every_model_is_told_in_numbers() -> None:
    found = ANALYSIS.of(CALIBRATION)
    assert found
    *_, numbers = calibration_section(found).parts
    assert isinstance(numbers, Details)
    (table,) = numbers.parts
    assert isinstance(table, Table)
    assert [(row[0], row[5]) for row in table.rows] == [
        (item.model, str(entry.item_count)) for item in found for entry in item.bins
    ]


def test_metrics_of_choices_are_shown_without_a_calibration_error() -> None:
    scores = tuple(row for row in RESULTS.scores if row.metric != "ece")
    results = replace(RESULTS, scores=scores)
    analysis = answered(results, resample_count=50)
    found = analysis.of(CALIBRATION)
    assert found == ()
    choices, calibration = CALIBRATION.sections(results, analysis, found)
    assert choices.parts
    assert not calibration.parts

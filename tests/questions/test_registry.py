import pytest

from spillover.analysis.analysis import analyse
from spillover.config import load_study
from spillover.errors import UserError
from spillover.questions import MIXING, QUESTIONS
from spillover.report.page import html_page, markdown_page
from spillover.report.write import summary
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.halving import within_budget
from spillover.study.results import collect
from spillover.study.runner import run_study
from spillover.study.study_file import StudyFile, study_file
from tests.study.test_mix import mix_study
from tests.study.test_recipes import write_study
from tests.study.test_runner import Quiet

WITHOUT_MIXING = tuple(question for question in QUESTIONS if question is not MIXING)
MIXED = """
variants:
  - {name: plain, train_on: first, sizes: 16}
  - {name: mixed, train_on: {target: first, with: [second]}, sizes: 16}
shots: [0]
test_on: [first, words]
"""


def load(path, questions):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None, questions=questions)


def finished(path, store, questions):
    """Run a study with these questions alone; return the kinds of computed steps, the results and their analysis."""
    study = load(path, questions)
    outcome = run_study(study, store, Workshop(store), Quiet())
    assert not outcome.failed
    results = collect(study, store, command="spillover run")
    return {step.kind for step in outcome.computed}, results, analyse(results, questions, resample_count=20)


def test_without_the_room_of_mixing_its_key_is_refused_as_any_unknown_one(tmp_path):
    path = mix_study(tmp_path)
    with pytest.raises(UserError, match="unknown setting 'mix'; known: ") as raised:
        load(path, WITHOUT_MIXING)
    path.write_text(path.read_text().replace("mix:", "mux:"))
    with pytest.raises(UserError) as unknown:
        load(path, WITHOUT_MIXING)
    assert str(raised.value) == str(unknown.value).replace("'mux'", "'mix'")


def test_without_questions_a_study_runs_to_a_matrix_and_without_mixing_everything_else_is_answered(tmp_path):
    path, store = write_study(tmp_path, MIXED), Store(tmp_path / "store")
    kinds, results, analysis = finished(path, store, ())
    assert "drift" not in kinds
    assert {row.variant for row in analysis.measurements} == {"base", *(card.id for card in results.variants)}
    assert {(card.name, bool(card.mixture), bool(card.facts)) for card in results.variants} == {
        ("plain", False, False),
        ("mixed", True, False),
    }
    assert (analysis.verdicts, analysis.findings) == ((), {})

    kinds, results, answered = finished(path, store, WITHOUT_MIXING)
    assert kinds == {"drift"}
    assert answered.measurements == analysis.measurements
    assert len(answered.verdicts) == len(results.variants)
    told = summary(results, answered)
    assert "mixing" not in told
    assert told["drift"].keys() == {card.id for card in results.variants}
    for page in (html_page(results, answered), markdown_page(results, answered)):
        assert "Which data to mix in" not in page
        assert "What each mixture took of its sources" in page

    kinds, results, whole = finished(path, store, QUESTIONS)
    assert not kinds
    assert whole.of(MIXING).arms
    assert {key for key in summary(results, whole) if key not in told} == {"mixing"}


def test_nothing_to_train_is_refused_by_the_keys_there_are(tmp_path):
    path = write_study(tmp_path, "shots: [0]\n")
    for questions, message in ((QUESTIONS, "add it, or `mix`"), (WITHOUT_MIXING, "add it")):
        with pytest.raises(UserError) as raised:
            load(path, questions)
        assert str(raised.value) == f"{path}: variants is missing; {message}"


def test_a_budget_with_no_design_to_drop_arms_of_is_refused_by_the_keys_there_are(tmp_path):
    path, store = write_study(tmp_path, MIXED), Store(tmp_path / "store")
    for questions, message in ((QUESTIONS, "arms of a `mix`; this study"), (WITHOUT_MIXING, "arms; this study")):
        with pytest.raises(UserError, match=f"--budget drops {message} has none that compete: run it without"):
            within_budget(load(path, questions), store, Workshop(store), Quiet(), seconds=1, notice=print)


def test_a_study_file_has_the_keys_of_the_study_and_of_its_questions():
    assert study_file(()) is StudyFile
    assert study_file(QUESTIONS) is study_file(QUESTIONS)
    own = {questions: study_file(questions).model_fields.keys() for questions in (QUESTIONS, WITHOUT_MIXING)}
    assert own[QUESTIONS] - StudyFile.model_fields.keys() == {"mix", "drift", "cascade", "interpret", "pilot"}
    assert own[QUESTIONS] - own[WITHOUT_MIXING] == {"mix"}

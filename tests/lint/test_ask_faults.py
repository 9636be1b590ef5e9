"""What lint says of how cells are asked: prompts that do not fit, and verdicts on rows that their model learnt."""

import json

import pytest

from spillover.lint.lint import lint
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from tests.study.test_supervised import loaded, made

ASKS = "asks: {told: {receipts: {of: WHO}}}\nbase_asked: told\n"


def found(folder, who, *, where=None, learnt=True, protocol="literal"):
    """Lint a study whose demonstrations are training rows of the classifier, or not, and lie in a file of their own."""
    path = made(folder)
    rows = [json.loads(line) for line in (folder / "first.jsonl").read_text().splitlines()]
    (folder / "shown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    (folder / "trained.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in (rows[:40] if learnt else rows[4:44]))
    )
    (folder / "tested.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[44:]))
    suite = (folder / "made.yaml").read_text()
    own = "{train: [trained.jsonl], demonstrations: [shown.jsonl], test: [tested.jsonl]}"
    suite = suite.replace("{pool: first.jsonl}", own, 1).replace("    split: {demonstrations: 4, test: 12}\n", "", 1)
    (folder / "made.yaml").write_text(suite)
    asks = ASKS.replace("WHO", f"{who}, where: {where}" if where else who)
    text = path.read_text().replace("test_on: [first, second, words, third]", "test_on: first")
    text = text.replace("sizes: 16", "sizes: 40").replace("sizes: [16]", "sizes: [40]")
    path.write_text(f"{text}protocol: {protocol}\n{asks}")
    store = Store(folder / "store")
    return [finding for finding in lint(loaded(path), store, Workshop(store)) if finding.check == "own-training-rows"]


def test_a_language_models_verdict_on_its_own_training_rows_is_an_error(tmp_path):
    (finding,) = found(tmp_path, "sft")
    assert finding.severity == "error"
    assert finding.what.startswith("receipts of sft/first/40/0 stand beside rows it is trained on: 2, such as")


@pytest.mark.parametrize(
    ("who", "options"),
    [("slm", {}), ("words", {}), ("sft", {"where": "test"}), ("sft", {"learnt": False})],
    ids=["an encoder judges them out of fold", "so does TF-IDF", "beside the test alone", "other rows"],
)
def test_verdicts_out_of_fold_or_on_other_rows_are_none(tmp_path, who, options):
    assert not found(tmp_path, who, **options)

import json
import random
import re
from dataclasses import replace

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from spillover.config import load_study
from spillover.errors import UserError
from spillover.lint.findings import Finding, Severity
from spillover.lint.lint import lint, margin_out_of_reach, refuse_errors, too_few_items
from spillover.lint.reach import Reach
from spillover.records import Relation
from spillover.statistics.power import WANTED, limits
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.plan import COARSE, Detectable
from tests.study.made_study import TASK, WORDS, make_study


def found(path):
    """Lint a study: check to findings, without the size of so small a study."""
    store = Store(path.parent / "store")
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    findings = lint(study, store, Workshop(store))
    severities = [list(Severity).index(finding.severity) for finding in findings]
    assert severities == sorted(severities)
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        assert finding.where
        assert finding.what
        assert finding.why
        assert finding.mend
        assert "\n" not in finding.line
        by_check.setdefault(finding.check, []).append(finding)
    by_check.pop("too-few-items", None)
    by_check.pop("margin", None)
    return by_check


def edited(path, old, new, name="study.yaml"):
    file = path.with_name(name)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def rows_of(path, name):
    return [json.loads(line) for line in path.with_name(f"{name}.jsonl").read_text().splitlines()]


def write_rows(path, name, rows):
    path.with_name(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def retokenize(path, **names):
    folder = path.parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(names.pop("tokens", []))
    for name, token in names.items():
        setattr(tokenizer, name, token)
    tokenizer.save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": len(tokenizer)}))


@pytest.fixture
def path(tmp_path):
    """A study without a fault: balanced labels, and padding of its own."""
    path = make_study(tmp_path)
    retokenize(path, pad_token="<unk>")
    for name in ("first", "second"):
        rows = rows_of(path, name)
        write_rows(path, name, [{**row, "answer": ("up", "down")[at % 2]} for at, row in enumerate(rows)])
    edited(path, "max_new_tokens: 5", "max_new_tokens: 9", "made.yaml")
    return path


def test_a_study_without_faults_has_no_findings_but_for_its_size(path):
    assert found(path) == {}


def test_a_tokenizer_that_ends_every_text_is_no_seam_and_has_keys_of_its_own(path):
    before = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    ends_every_text(path)
    assert found(path) == {}
    after = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    assert after.base.encoding_fields() == {
        "tokenizer": after.base.tokenizer_fingerprint,
        "appended_tokens": "left out",
    }
    assert before.base.encoding_fields() == {"tokenizer": before.base.tokenizer_fingerprint}


def begins_twice(path):
    retokenize(path, bos_token="<unk>")
    edited(path, 'Text:{text}\\nMood:"', '<unk>Text:{text}\\nMood:"', "made.yaml")


def begins_in_some(path):
    retokenize(path, bos_token="<unk>")
    edited(path, "shots: [0, 2]\ntest", "shots: [0]\ntest")
    edited(path, ", recipe: {demonstrations: 2}", "")
    edited(path, 'Text:{text}\\nMood:"', '<unk>Text:{text}\\nMood:"', "made.yaml")


def other_form_only(path):
    edited(path, 'prompts: {1: "Text:{text}\\nMood:"}', 'prompts: {1: "T:{text}\\nM:", 2: "{text}?"}', "made.yaml")
    edited(path, 'prompts: {1: "Text:{text}\\nWord:"}', 'prompts: {1: "T:{text}\\nW:", 2: "{text}!"}', "made.yaml")
    edited(path, "shots: [0, 2]\ntest", "shots: [0, 2]\nprompt_forms: [2]\ntest")


def other_prompt(path):
    suite = path.with_name("made.yaml")
    suite.write_text(
        suite.read_text()
        .replace("second:\n", 'second:\n    prompts: {1: "Read {text}\\nMood:"}\n')
        .replace("\n\n", "\n")
    )


def trained_behind_more_shots(path):
    edited(path, "demonstrations: 2}", "demonstrations: 1}")


def merges(path):
    retokenize(path, tokens=[":u"])


def ends_every_text(path):
    """The tokenizer of many embedding and T5 models: an end token behind whatever is encoded."""
    folder = path.parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    made = TemplateProcessing(single="$A <end>", special_tokens=[("<end>", tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = made
    tokenizer.save_pretrained(folder)


def holds_control_tokens(path):
    rows = rows_of(path, "first")
    write_rows(path, "first", [{**row, "text": row["text"] + "<end>" * (at % 2)} for at, row in enumerate(rows)])


def renamed(answers):
    def rename(path):
        new = dict(zip(("up", "down"), answers, strict=True))
        for name in ("first", "second"):
            write_rows(path, name, [{**row, "answer": new[row["answer"]]} for row in rows_of(path, name)])
        edited(path, "answers: [up, down]", f"answers: [{', '.join(answers)}]", "made.yaml")

    return rename


def renamed_and_scored_by_pmi(path):
    renamed(("up", "upset"))(path)
    edited(path, "precision: float32", "precision: float32\nscoring: pmi")


def long_rows(path):
    edited(path, ", recipe: {demonstrations: 2}", "")
    edited(path, "epochs: 1", "epochs: 1, max_length: 40")


def trimmed_rows(path):
    edited(path, "epochs: 1", "epochs: 1, max_length: 45, overlong: trim")


def long_targets(path):
    rows = rows_of(path, "words")
    write_rows(path, "words", [{**row, "answer": "w" * 70 if at % 4 else "w"} for at, row in enumerate(rows)])
    edited(path, "epochs: 1", "epochs: 1, max_length: 64")
    edited(path, "max_new_tokens: 9", "max_new_tokens: 80", "made.yaml")


def nothing_fits(path):
    edited(path, "epochs: 1", "epochs: 1, max_length: 8")


def no_tokens(path):
    rows = rows_of(path, "words")
    rows[7]["answer"] = "\u200b"  # is text, but no token of a tokenizer that drops it
    write_rows(path, "words", rows)
    tokenizer = path.parent / "model" / "tokenizer.json"
    data = json.loads(tokenizer.read_text())
    data["normalizer"] = {"type": "Replace", "pattern": {"String": "\u200b"}, "content": ""}
    tokenizer.write_text(json.dumps(data))


def short_generation(path):
    edited(path, "max_new_tokens: 9", "max_new_tokens: 3", "made.yaml")


def stops_inside(path):
    edited(path, "max_new_tokens: 9", "max_new_tokens: 9, stop: o", "made.yaml")


def ends_inside(path):
    rows = rows_of(path, "words")
    write_rows(path, "words", [{**row, "answer": "ab<end>c"} for row in rows])


def pads_with_end(path):
    retokenize(path, pad_token="<end>")


def shared_rows(path):
    edited(path, "sizes: [16]", "sizes: [40]")
    write_rows(path, "second", rows_of(path, "first")[::-1])


def nearly_shared_rows(path):
    edited(path, "sizes: [16]", "sizes: [40]")
    rows = rows_of(path, "first")[::-1]
    write_rows(path, "second", [{**row, "text": row["text"] + "!"} for row in rows])


def literally_shared_rows(path):
    shared_rows(path)
    edited(path, "precision: float32", "precision: float32\nprotocol: literal")


def shown_in_test(path, *, literal=True):
    rows = rows_of(path, "first")
    write_rows(path, "shown", rows[:4])
    write_rows(path, "tested", rows[:14])
    write_rows(path, "first", rows[14:])
    edited(
        path,
        "sources: {pool: first.jsonl}",
        "sources: {train: first.jsonl, demonstrations: shown.jsonl, test: tested.jsonl}",
        "made.yaml",
    )
    edited(path, "train_on: [first, words]", "train_on: [words]")
    edited(path, "train_on: first", "train_on: words")
    edited(path, "test_limit: 10", "test_limit: 14\n" + ("protocol: literal" if literal else ""))


def shown_in_test_of_a_clean_study(path):
    shown_in_test(path, literal=False)


def lopsided(path):
    rows = rows_of(path, "second")
    write_rows(path, "second", [{**row, "answer": "up" if at % 12 else "down"} for at, row in enumerate(rows)])


def one_sided_training(path):
    rows = rows_of(path, "first")
    write_rows(path, "tested", rows[:16])
    write_rows(path, "shown", rows[16:20])
    write_rows(path, "first", [{**row, "answer": "up"} for row in rows[20:]])
    edited(
        path,
        "sources: {pool: first.jsonl}",
        "sources: {train: first.jsonl, demonstrations: shown.jsonl, test: tested.jsonl}",
        "made.yaml",
    )


def tests_of_another_task(path):
    draw = random.Random(8)
    texts = [" ".join(draw.choices(WORDS, k=8)) for _ in range(40)]
    rows = [{"text": text, "answer": ("up", "down")[at % 2]} for at, text in enumerate(texts)]
    write_rows(path, "second", rows)
    write_rows(path, "third", rows)
    suite = path.with_name("made.yaml")
    third = "\n  third:\n    family: mood\n    sources: {pool: third.jsonl}\n    columns: {text: text}\n"
    suite.write_text(suite.read_text() + third + "    target: answer\n    split: {demonstrations: 4, test: 12}\n")


def wordless_references(path):
    rows = rows_of(path, "words")
    write_rows(path, "words", [{**row, "answer": ("..", "!")[at % 2]} for at, row in enumerate(rows)])


def answered_in_json(path, answer):
    edited(
        path,
        "generation: {max_new_tokens: 9}",
        "generation: {max_new_tokens: 30}\n    metrics: [json_match, hallucination]",
        "made.yaml",
    )
    rows = rows_of(path, "words")
    write_rows(path, "words", [{**row, "answer": answer(at, row["answer"])} for at, row in enumerate(rows)])


def targets_that_are_no_json(path):
    answered_in_json(path, lambda at, text: text if at % 2 else "?")


def always_answerable(path):
    answered_in_json(path, lambda at, text: json.dumps({"answer": text}))


def few_wordless_references(path):
    draw = random.Random(3)
    rows = [{"text": " ".join(draw.choices(WORDS, k=9)), "answer": "what" if at else "?!"} for at in range(120)]
    write_rows(path, "tested", rows)
    edited(path, "sources: {pool: words.jsonl}", "sources: {pool: words.jsonl, test: tested.jsonl}", "made.yaml")
    edited(path, "test_limit: 10", "test_limit: 120")


ERROR, WARNING, NOTE = Severity


@pytest.mark.parametrize(
    ("fault", "check", "severity", "what"),
    [
        (begins_twice, "begin-token", ERROR, r"\d+ prompts hold the begin token \(BOS\) 3 times"),
        (begins_in_some, "begin-token", ERROR, r"hold a begin token \(BOS\), those of .*words.* hold none"),
        (other_form_only, "template", WARNING, "train on prompt form 1, which is not tested"),
        (other_prompt, "template", WARNING, "its prompt is not that of 'first'"),
        (trained_behind_more_shots, "template", NOTE, "trained behind 1 demonstrations and never tested"),
        (merges, "seam", WARNING, r"5 of 10 answers, such as 'up', merge with the end of the prompt .*':u'"),
        (holds_control_tokens, "control-token", WARNING, r"\d+ of \d+ rows hold '<end>', a control token of the token"),
        (renamed(("up", "upset")), "answer-prefix", ERROR, "'up' begin those of 'upset'"),
        (renamed_and_scored_by_pmi, "answer-prefix", WARNING, "'up' begin those of 'upset'"),
        (renamed(("up", "under")), "first-token", NOTE, "'up', 'under' begin with the same token"),
        (long_rows, "cut-rows", WARNING, r"\d+ of 16 training rows: longer than 40 tokens"),
        (trimmed_rows, "cut-rows", WARNING, r"\d+ of 16 training rows: prompt trimmed"),
        (long_targets, "masked-rows", WARNING, r"\d+ of 16 targets fill 64 tokens alone"),
        (nothing_fits, "unusable", ERROR, "none of 16 training rows is left"),
        (no_tokens, "unusable", ERROR, "has no tokens"),
        (short_generation, "cut-answers", WARNING, "of 10 references are longer than the 3 tokens generated"),
        (stops_inside, "cut-answers", WARNING, "of 10 references hold the stop text 'o'"),
        (wordless_references, "blind-metric", WARNING, r"rouge_l is blind to 10 of 10 references, such as '(\.\.|!)'"),
        (
            targets_that_are_no_json,
            "target-not-json",
            WARNING,
            "of 10 targets, such as '.*', are no JSON with an answer",
        ),
        (always_answerable, "metric-of-nothing", ERROR, "hallucination: none of 10 questions has no answer"),
        (few_wordless_references, "blind-metric", NOTE, r"rouge_l is blind to 1 of 1\d\d references, such as '\?!'"),
        (ends_inside, "end-token", WARNING, "16 targets hold the end token"),
        (pads_with_end, "padding", NOTE, "its padding token is its end token"),
        (shared_rows, "overlap", ERROR, r"of 10 test rows equal training rows of 'first', such as second.jsonl:\d+"),
        (literally_shared_rows, "overlap", WARNING, "of 10 test rows equal training rows of 'first'"),
        (
            nearly_shared_rows,
            "near-overlap",
            WARNING,
            r"nearly equal \(80% of their text\) to training rows of 'first'",
        ),
        (shown_in_test, "demonstrations", WARNING, "4 of 14 test rows equal a demonstration"),
        (shown_in_test_of_a_clean_study, "demonstrations", NOTE, "4 test rows equal a demonstration and are left out"),
        (lopsided, "imbalance", WARNING, r"test rows have the answer 'up'; always giving it scores (0\.[89]|1\.0)"),
        (one_sided_training, "imbalance", WARNING, "no row has the answer 'down'"),
        (tests_of_another_task, "contamination", NOTE, "10 of 10 test rows are also rows of 'third'"),
    ],
)
def test_a_fault_is_found_with_its_severity(path, fault, check, severity, what):
    fault(path)
    findings = found(path).get(check, [])
    assert severity in {finding.severity for finding in findings}, findings
    assert any(finding.severity == severity and re.search(what, finding.what) for finding in findings), findings


def test_one_shared_row_in_more_than_a_hundred_is_a_warning_and_no_error(path):
    draw = random.Random(1)
    rows = [{"text": " ".join(draw.choices(WORDS, k=9)), "answer": ("up", "down")[at % 2]} for at in range(140)]
    write_rows(path, "tested", rows)
    write_rows(path, "second", [*rows_of(path, "second"), rows[5]])
    edited(path, "sources: {pool: first.jsonl}", "sources: {pool: first.jsonl, test: tested.jsonl}", "made.yaml")
    edited(path, "split: {demonstrations: 4, test: 12}", "split: {demonstrations: 4, test: 2}", "made.yaml")
    edited(path, "train_on: first, sizes: [16]", "train_on: second, sizes: [55]")
    edited(path, "test_limit: 10", "test_limit: 140")
    (finding,) = found(path)["overlap"]
    assert finding.severity is WARNING
    assert "1 of 140 test rows equal training rows of 'second'" in finding.what


def test_a_design_is_too_small_where_its_coarsest_variant_misses_what_one_looks_for():
    row = Detectable("sft", Relation.IN_DOMAIN, 2, 100, 100, WANTED, False, None)
    assert list(too_few_items((row,))) == []
    noted = replace(row, difference=1.5 * WANTED, rows_needed=225, mend="225 test rows a task")
    assert [finding.severity for finding in too_few_items((row, noted))] == [NOTE]
    warned = replace(row, difference=1.1 * COARSE, rows_needed=500, mend="500 test rows a task")
    (finding,) = too_few_items((noted, warned))
    assert finding.severity is WARNING
    assert "100 items show a difference only from 0.11 on" in finding.what
    assert "500 test rows a task" in finding.mend
    (none,) = too_few_items((replace(row, fewest_units=9),))
    assert none.what == "a task has 9 independent rows, or sources of rows"
    both = too_few_items((warned, replace(noted, relation=Relation.CROSS_TASK)))
    assert [(found.where, found.severity) for found in both] == [("in-domain", WARNING), ("cross-task", NOTE)]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"siqa": 149, "snli": 250}, []),
        ({"siqa": 148, "snli": 250}, [(NOTE, "1 of 2 tested tasks")]),
        ({"siqa": 148, "snli": 20}, [(WARNING, "every tested task")]),
    ],
)
def test_one_finding_names_the_tasks_that_can_never_show_the_margin(counts, found):
    findings = list(margin_out_of_reach(Reach(0.02, limits(counts, 0.02), {"siqa": 150})))
    assert [(finding.severity, finding.where) for finding in findings] == found
    for finding in findings:
        assert "siqa (148" in finding.what
        assert finding.mend.startswith("raise test_limit to 150")


def test_lint_finds_the_margin_out_of_reach_of_a_study(path):
    store = Store(path.parent / "store")
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    for margin, count in ((0.02, 1), (0.26, 0)):
        findings = lint(replace(study, margin=margin), store, Workshop(store))
        assert len([found for found in findings if found.check == "margin"]) == count


def test_a_run_refuses_errors_in_one_line_and_says_warnings_but_no_notes():
    told = []
    made = [
        Finding("seam", severity, f"task {severity.value}", "is wrong", "numbers", "mend it")
        for severity in (WARNING, NOTE)
    ]
    refuse_errors(tuple(made), told.append, study_file="study.yaml")
    assert told == ["warning: task warning: is wrong; mend it"]
    error = Finding("overlap", ERROR, "task 'b'", "is wrong", "numbers", "mend it")
    with pytest.raises(UserError, match=r"^task 'b': is wrong; mend it \(and 1 more: spillover lint study\.yaml\)$"):
        refuse_errors((error, error), told.append, study_file="study.yaml")
    with pytest.raises(UserError, match=r"^no rows$"):
        refuse_errors((replace(error, check="unusable", what="no rows"),), told.append, study_file="study.yaml")


MIXED = """variants:
  - {name: more, train_on: {target: first, with: [{task: second, cap: 24}]}, sizes: [24]}
  - {name: fewer, train_on: {target: first, with: [second]}, sizes: [8]}
test_on: [first, third]
"""


@pytest.fixture
def texts():
    """Forty texts of a task each, none like another."""
    draw = random.Random(5)
    return {name: [" ".join(draw.choices(WORDS, k=12)) for _ in range(40)] for name in ("first", "second", "third")}


def found_in_mixtures(path, texts):
    """Lint mixtures of ``first`` and ``second``, tested on ``first`` and ``third``."""
    for name, own in texts.items():
        write_rows(path, name, [{"text": text, "answer": ("up", "down")[at % 2]} for at, text in enumerate(own)])
    suite = path.with_name("made.yaml")
    suite.write_text(suite.read_text() + TASK.format(name="third", family="mood"))
    start, end = (path.read_text().index(word) for word in ("variants:", "shots:"))
    path.write_text(path.read_text()[:start] + MIXED + path.read_text()[end:])
    return found(path)


def test_sources_that_share_nothing_have_no_finding(path, texts):
    assert not {"near-duplicates", "near-overlap", "overlap"} & set(found_in_mixtures(path, texts))


def test_nearly_equal_rows_of_two_sources_are_told_once_for_all_mixtures(path, texts):
    texts["second"] = [text + "s" for text in texts["first"]]
    (told,) = found_in_mixtures(path, texts)["near-duplicates"]
    assert (told.severity, told.where) == (WARNING, "mixtures of 'first' and 'second'")
    assert re.search(r"\d+ of 24 rows of 'second' are nearly equal \(80% of their text\) to rows of 'first'", told.what)
    assert "extra-steps" in told.mend


def test_equal_rows_of_two_sources_are_left_to_the_mixture_which_drops_them(path, texts):
    texts["second"] = [*(text.upper() for text in texts["first"]), *texts["second"]]
    assert "near-duplicates" not in found_in_mixtures(path, texts)


@pytest.mark.parametrize(
    ("changed", "check", "severity"),
    [(str.upper, "overlap", ERROR), (lambda text: text + "s", "near-overlap", WARNING)],
)
def test_a_test_row_that_a_mixed_in_source_holds_is_told(path, texts, changed, check, severity):
    texts["third"] = [changed(text) for text in reversed(texts["second"])]
    told = [finding for finding in found_in_mixtures(path, texts)[check] if finding.where == "task 'third'"]
    assert [finding.severity for finding in told] == [severity]
    assert "training rows of 'second', such as third.jsonl:" in told[0].what


@pytest.mark.parametrize(
    ("changed", "check", "severity"),
    [(str.upper, "overlap", ERROR), (lambda text: text + "s", "near-overlap", WARNING)],
)
def test_a_test_row_that_a_replayed_task_holds_is_told(path, changed, check, severity):
    recipe = "recipe: {constraint: {kind: replay, rows_of: second}}"
    edited(path, "train_on: first, sizes: [16], recipe: {demonstrations: 2}", f"train_on: first, sizes: [16], {recipe}")
    write_rows(path, "words", [{**row, "text": changed(row["text"])} for row in reversed(rows_of(path, "second"))])
    told = [finding for finding in found(path)[check] if finding.where == "task 'words'"]
    assert severity in {finding.severity for finding in told}
    assert any("training rows of 'second', such as words.jsonl:" in finding.what for finding in told)


@pytest.mark.parametrize(
    ("task", "told"), [("first", {"variant 'more/first/24/0'", "variant 'fewer/first/8/0'"}), ("second", set())]
)
def test_long_rows_are_told_of_the_target_but_not_of_a_source_of_which_a_mixture_takes_others(path, texts, task, told):
    edited(path, "epochs: 1", "epochs: 1, max_length: 100")
    texts[task] = [text * (3 if at % 2 else 1) for at, text in enumerate(texts[task])]
    assert {finding.where for finding in found_in_mixtures(path, texts).get("cut-rows", ())} == told


def test_rows_that_are_left_out_are_a_note_and_those_that_contradict_a_warning(path):
    rows = rows_of(path, "first")
    write_rows(path, "first", [*rows, rows[0]])
    (finding,) = found(path)["left-out-rows"]
    assert finding.severity is Severity.NOTE
    assert "of 61 rows 1 left out: repeated text" in finding.what
    write_rows(path, "first", [*rows, rows[0] | {"answer": "down"}])
    (finding,) = found(path)["left-out-rows"]
    assert finding.severity is Severity.WARNING
    assert "1 of the repeated contradict" in finding.what


def test_answers_that_are_one_word_in_two_spellings_are_found(path):
    rows = rows_of(path, "first")
    write_rows(path, "first", [{**row, "answer": ("up", "Up\u200b")[at % 2]} for at, row in enumerate(rows)])
    write_rows(path, "second", [{**row, "answer": ("up", "Up\u200b")[at % 2]} for at, row in enumerate(rows)])
    edited(path, "answers: [up, down]", 'answers: [up, "Up\\u200B"]', "made.yaml")
    twins = found(path)["twin-answers"]
    assert len(twins) == 2
    assert r"'Up\u200b' and 'up' are one word" in twins[0].what

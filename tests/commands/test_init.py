import csv
import io
import json
import random
import re
from pathlib import Path

import pytest

from spillover.cli import main
from spillover.config import load_study
from spillover.lint.findings import Severity
from spillover.lint.lint import lint
from spillover.own_data.study_text import MARGIN
from spillover.statistics.power import WANTED, fewest_items
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.runner import missing_steps
from spillover.study.study_file import StudyFile
from spillover.tasks.prepare import prepare, training_rows
from spillover.tasks.suite import load_suite
from tests.study.made_study import WORDS, make_model

NOUNS = ["kettle", "lamp", "café chair", "phone", "book", "shoe", "bag", "clock"]
GOOD, BAD = ["works well", "is lovely", "was worth it"], ["broke at once", "is ugly", "was a waste"]


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def reviews(count, labels=("positive", "negative"), seed=0):
    """Rows as a shop exports them: quotes, commas, line breaks, accents and emoji."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        at = draw.randrange(len(labels))
        text = (
            f'The {draw.choice(NOUNS)} {draw.choice(BAD if at else GOOD)}, order {seed}-{index}.\n"{draw.random()}" 😀'
        )
        rows.append({"Order ID": str(index), "Review Text": text, "label": labels[at]})
    return rows


def write_csv(path: Path, rows, **dialect):
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text("\ufeff" + stream.getvalue(), encoding="utf-8", newline="")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_model(tmp_path / "model")
    return tmp_path


def planned(path="study.yaml"):
    """Load what was written, prepare its own tasks, and return the study with its rows by task."""
    path = Path(path)
    study = load_study(path, cache=Path("cache"), notice=lambda line: None)
    steps = missing_steps(study, Store(Path("store")))
    assert {"prepare", "finetune", "predict", "score", "drift"} == {step.kind for step in steps}
    own = set(study.suite.tasks) - set(load_suite("pocket").tasks)
    rows = {name: prepare(study.suite, study.suite.task(name), cache=Path("cache")) for name in own}
    for plan in study.variants:
        for size in plan.sizes:
            assert len(training_rows(rows[plan.train_on[0].name], size, seed=0)) == size
    return study, rows


def test_a_csv_of_labels_becomes_a_study_with_other_data_to_test_on(folder, capsys):
    write_csv(folder / "Reviews 2024.csv", reviews(400))
    (folder / "data").mkdir()
    other = [*reviews(60, seed=1), {"Order ID": "x", "Review Text": "so so", "label": "mixed"}]
    (folder / "data" / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    given = ["--input", "Review Text", "--target", "label", "--also", "data/other.jsonl", "--base", "./model"]
    assert call("init", "--train", "Reviews 2024.csv", *given) == 0
    printed = capsys.readouterr().out
    assert "family sentiment, 2 answers (negative, positive)" in printed
    assert "rows with 'mixed' are left out" in printed
    assert printed.splitlines()[-2:] == ["wrote suite.yaml and study.yaml; next:", "  spillover lint study.yaml"]
    study, rows = planned()
    assert [task.name for task in study.test_on] == ["reviews-2024", "other", "sts-captions"]
    assert study.suite.task("reviews-2024").answers == ("negative", "positive")
    assert {plan.name for plan in study.variants} == {"sft", "fticl"}
    own, also = rows["reviews-2024"], rows["other"]
    assert (len(own.train), len(own.demonstrations), len(own.test)) == (265, 2, 133)
    assert (len(also.train), len(also.demonstrations), len(also.test)) == (0, 2, 58)
    assert own.test[0].fields["review_text"].count("\n") == 1
    assert study.suite.task("reviews-2024").family == load_suite("pocket").task("tweets").family


def test_data_of_a_kind_that_the_pocket_suite_has_is_tested_out_of_domain_on_it(folder):
    write_csv(folder / "tweets.csv", reviews(120), delimiter=";")
    assert call("init", "--train", "tweets.csv", "--input", "Review Text", "--base", "./model") == 0
    study, _ = planned()
    assert [task.name for task in study.test_on] == ["own-tweets", "tweets", "movie", "sts-captions"]
    ours, theirs = study.suite.task("own-tweets"), study.suite.task("tweets")
    assert ours.prompts[1].text.replace("{review_text}", "{input}") == theirs.prompts[1].text


@pytest.mark.parametrize(
    ("rows", "given", "family", "answers"),
    [
        (
            [
                {"premise": f"It rains {n}", "hypothesis": f"Wet {n}", "gold": ("yes", "no", "true")[n % 3]}
                for n in range(90)
            ],
            ["--target", "gold"],
            "pair-classification",
            ("no", "true", "yes"),
        ),
        (
            [{"text": f"row {n}", "stars": n % 5 + 1} for n in range(100)],
            [],
            "classification",
            ("1", "2", "3", "4", "5"),
        ),
        (
            [
                {"question": f"Who was number {n}?", "answer": f"Person {n}\n\nof {'many ' * (n % 7)}"}
                for n in range(80)
            ],
            [],
            "writing",
            (),
        ),
        (
            [{"document": f"{n} " + "word " * 700, "summary": f"It is about {n}."} for n in range(60)],
            [],
            "summary",
            (),
        ),
    ],
)
def test_every_kind_of_data_becomes_a_study_that_loads_and_plans(folder, rows, given, family, answers):
    write_csv(folder / "mine.csv", rows)
    assert call("init", "--train", "mine.csv", *given, "--base", "./model", "--out", "there/my.yaml") == 0
    study, prepared = planned("there/my.yaml")
    task = study.suite.task("mine")
    assert (task.family, task.answers) == (family, answers)
    assert study.suite.path.name == "my-suite.yaml"
    assert len(task.columns) == (2 if family == "pair-classification" else 1)
    assert task.generation.stop == ("\n###" if family == "writing" else "\n\n")
    assert bool(prepared["mine"].shortened) == (family == "summary")
    assert {related.family for related in study.test_on} >= {family, "paraphrase", "sentiment"}


@pytest.mark.parametrize(
    ("count", "also", "margin", "comments"),
    [
        (500, None, 0.02, ["0.02 takes 149 test rows of a task at least, and 3,194 where 20 % of its answers change"]),
        (400, None, 0.05, ["0.02 takes 149 test rows of a task at least, and reviews has 133"]),
        (
            100,
            None,
            0.05,
            [
                "0.02 takes 149 test rows of a task at least\n",
                "reviews (33 test rows) can never show so little: 59 rows could, if nothing changed",
            ],
        ),
        (
            500,
            42,
            0.02,
            [
                "149 test rows of a task at least, and 3,194 where 20 % of its answers change\n",
                "other (40 test rows) can never show so little: 149 rows could, if nothing changed",
            ],
        ),
        (500, 102, 0.05, ["149 test rows of a task at least, and other has 100\n"]),
    ],
)
def test_the_margin_is_one_that_the_test_rows_can_show_or_the_study_says_which_cannot(
    folder, count, also, margin, comments
):
    write_csv(folder / "reviews.csv", reviews(count))
    write_csv(folder / "other.csv", reviews(also or 42, seed=1))
    more = ["--also", "other.csv"] if also else []
    assert call("init", "--train", "reviews.csv", "--input", "Review Text", "--base", "./model", *more) == 0
    study, rows = planned()
    assert study.margin == margin
    own = [len(task.test) for task in rows.values()]
    text = (folder / "study.yaml").read_text()
    assert all(comment in text for comment in comments)
    assert ("can never show" in text) == (min(own) < fewest_items(WANTED))


def test_the_usual_margin_is_the_one_of_a_study_that_names_none():
    assert StudyFile.model_fields["margin"].default == MARGIN


@pytest.mark.parametrize(
    ("answer", "metrics"),
    [
        ("Person {n} of café", ("rouge_l", "bleu", "label_share")),
        ("这部电影 {n} 非常好看", ("rouge_l", "chrf", "label_share")),
        ("фильм {n} очень хорош", ("rouge_l", "chrf", "label_share")),
    ],
)
def test_metrics_of_free_text_suit_the_script_of_the_targets(folder, answer, metrics):
    write_csv(folder / "mine.csv", [{"text": f"row {n}", "answer": answer.format(n=n)} for n in range(80)])
    assert call("init", "--train", "mine.csv", "--target", "answer", "--base", "./model") == 0
    task = load_suite("suite.yaml").task("mine")
    assert task.metrics == metrics
    assert task.primary_metric == "rouge_l"


def test_targets_without_a_word_are_compared_whole_and_by_character(folder):
    marks = [f"{'🙂' * (n % 9 + 1)}{'🙃' * (n // 9 + 1)}" for n in range(80)]
    write_csv(folder / "mine.csv", [{"text": f"row {n}", "answer": mark} for n, mark in enumerate(marks)])
    assert call("init", "--train", "mine.csv", "--target", "answer", "--base", "./model") == 0
    assert load_suite("suite.yaml").task("mine").metrics == ("accuracy", "chrf", "label_share")


def test_without_arguments_it_asks_and_takes_the_answers_of_a_pipe(folder, monkeypatch, capsys):
    write_csv(folder / "reviews.csv", reviews(100))
    write_csv(folder / "model" / "more.csv", reviews(60, seed=2))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\nReview Text\nmodel/more.csv\n./model\n"))
    assert call("init") == 0
    asked = capsys.readouterr().err
    for question in (
        "Training file [reviews.csv]",
        "Column of the target [label]",
        "Base model [smollm2-135m-instruct]",
    ):
        assert question in asked
    study, _ = planned()
    assert [task.name for task in study.test_on] == ["reviews", "more", "sts-captions"]


def test_a_pipe_that_ends_means_every_default_and_no_file_at_all_is_one_line(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert call("init") == 2
    assert "no training file is named; give it with --train" in capsys.readouterr().err
    write_csv(folder / "reviews.csv", reviews(100))
    assert call("init", "--base", "./model") == 0
    planned()


@pytest.mark.parametrize(
    ("rows", "given", "line"),
    [
        (reviews(90), ["--target", "lable"], "unknown column of data.csv 'lable'; did you mean 'label'?"),
        (
            reviews(90),
            ["--input", "Review Txt"],
            "unknown column of data.csv 'Review Txt'; did you mean 'Review Text'?",
        ),
        (reviews(90), ["--input", "label"], "column 'label' is both input and target"),
        (reviews(90, labels=("good",)), [], "all 90 rows have the target 'good'; expected at least two different ones"),
        (reviews(30), [], "30 of 30 rows are usable (with an input, and not twice the same); at least 38 are needed"),
        ([{"text": f"t {n}", "label": f"l{n % 60}"} for n in range(300)], [], "holds 60 labels, more than the 50"),
        ([{"text": f"t {n}", "label": n / 7} for n in range(90)], [], "holds 90 different numbers; expected labels or"),
        (
            [{"text": f"t {n}", "label": "" if n == 4 else "ab"[n % 2]} for n in range(90)],
            [],
            "1 of 90 rows have no target",
        ),
        (reviews(90), ["--also", "none.csv"], "none.csv: No such file or directory"),
        (reviews(90), ["--also", "few.csv"], "few.csv: 0 rows are usable after the labels other, which are not in the"),
        (reviews(90), ["--also", "odd.csv"], "unknown column of odd.csv 'label'; did you mean 'labels'?"),
        (reviews(90), ["--base", "smollm-135m"], "unknown model 'smollm-135m'; did you mean 'smollm2-135m-instruct'?"),
        (
            [{"text": f"{'same ' * 400}{n}", "label": "ab"[n % 2]} for n in range(90)],
            [],
            "or add rows; left out: 89 (repeated text)",
        ),
        (reviews(90), ["--out", "study.txt"], "study.txt: a study file ends in .yaml"),
    ],
)
def test_what_cannot_be_made_a_study_is_one_line_and_writes_nothing(folder, capsys, rows, given, line):
    write_csv(folder / "data.csv", rows)
    write_csv(folder / "few.csv", reviews(40, labels=("other",)))
    write_csv(folder / "odd.csv", [{"Review Text": "a", "labels": "b"}])
    there = set(folder.rglob("*"))
    column = [] if "--input" in given or "text" in rows[0] else ["--input", "Review Text"]
    assert call("init", "--train", "data.csv", *column, "--base", "./model", *given) == 2
    errors = [found for found in capsys.readouterr().err.splitlines() if found.startswith("error: ")]
    assert len(errors) == 1
    assert line in errors[0]
    assert set(folder.rglob("*")) == there


def test_files_that_are_there_are_kept_unless_force_is_given(folder, capsys):
    write_csv(folder / "reviews.csv", reviews(100))
    (folder / "suite.yaml").write_text("mine")
    given = ["init", "--train", "reviews.csv", "--base", "./model"]
    assert call(*given) == 2
    assert (
        "suite.yaml is there already; name another file with --out, or replace it with --force"
        in capsys.readouterr().err
    )
    assert (folder / "suite.yaml").read_text() == "mine"
    assert not (folder / "study.yaml").exists()
    assert call(*given, "--force") == 0
    planned()


def test_nothing_is_written_through_a_link(folder):
    write_csv(folder / "reviews.csv", reviews(100))
    (folder / "elsewhere").write_text("mine")
    for name in ("study.yaml", "suite.yaml", ".unfinished-suite.yaml"):
        (folder / name).symlink_to(folder / "elsewhere")
    assert call("init", "--train", "reviews.csv", "--base", "./model", "--force") == 0
    planned()
    assert (folder / "elsewhere").read_text() == "mine"
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize("label", ["yes: no", "true", "#1", "a'b", 'a"b', "1e-4", "- x", "ja 😀", "{x}", "null", "50%"])
def test_hostile_labels_and_columns_come_back_as_they_were(folder, label):
    column = f"te'xt: {label}"
    rows = [{column: f"row {n}", "y: [1": (label, "other")[n % 2]} for n in range(80)]
    write_csv(folder / "data.csv", rows)
    assert call("init", "--train", "data.csv", "--input", column, "--target", "y: [1", "--base", "./model") == 0
    study, rows_of = planned()
    assert set(study.suite.task("data").answers) == {label, "other"}
    assert {row.target for row in rows_of["data"].train} == {label, "other"}


def words(count, answers, **more):
    """Rows of one text each, the answers in turn."""
    return [
        {"text": f"row {n} of a text that says something", "label": answers[n % len(answers)], **more}
        for n in range(count)
    ]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_labels_that_are_one_word_are_named_and_joined_by_a_map(folder, capsys):
    spellings = ["caf\u00e9", "cafe\u0301", "bar", "bar\u200b", "Bar ", "caf\u00e9", "bar"]
    write_lines(folder / "cafe.jsonl", words(98, spellings))
    write_lines(folder / "also.jsonl", words(48, ["CAF\u00c9", "BAR", "pub"]))
    assert call("init", "--train", "cafe.jsonl", "--also", "also.jsonl", "--base", "./model", "--yes") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert r"'cafe\u0301' counts as 'caf\xe9'" in printed
    assert r"'bar\u200b' counts as 'bar'" in printed
    study, rows = planned()
    assert study.suite.task("cafe").answers == ("bar", "caf\u00e9")
    parts = [row for name in ("cafe", "also") for row in (*rows[name].test, *rows[name].demonstrations)]
    assert {row.target for row in parts} == {"bar", "caf\u00e9"}
    assert "\u200b" not in Path("suite.yaml").read_text(encoding="utf-8")  # it can be seen


def test_instructions_with_an_input_that_some_lack_lose_no_row(folder, capsys):
    rows = [
        {"instruction": f"Do {n} things", "input": f"of kind {n}" if n % 2 else "", "output": f"Done, {n} of them."}
        for n in range(80)
    ]
    (folder / "alpaca.json").write_text(json.dumps(rows), encoding="utf-8")
    assert call("init", "--train", "alpaca.json", "--base", "./model") == 0
    assert "80 rows read" in capsys.readouterr().out
    _, prepared = planned()
    own = prepared["alpaca"]
    texts = {row.fields["instruction"] for row in (*own.train, *own.demonstrations, *own.test)}
    assert len(texts) == 80
    assert {"Do 0 things", "Do 1 things\n\nof kind 1"} <= texts


def test_every_column_is_shown_with_what_it_is_taken_as_and_why(folder, capsys):
    rows = [
        {
            "id": n,
            "shop": f"s{n % 30}",
            "text": row["text"],
            "remark": f"and note {n} on all of it",
            "label": row["label"],
        }
        for n, row in enumerate(words(120, ["good", "good", "bad"], lang="en"))
    ]
    write_lines(folder / "rows.jsonl", [row | {"lang": "en"} for row in rows])
    assert call("init", "--train", "rows.jsonl", "--group", "shop", "--base", "./model") == 0
    out, said = capsys.readouterr()
    roles = {
        line.split()[0]: line.split()[1] for line in out.splitlines() if line.startswith(" ") and len(line.split()) > 2
    }
    taken = {name: roles[name] for name in ("id", "shop", "text", "remark", "label", "lang")}
    assert taken == {
        "id": "ignored",
        "shop": "group",
        "text": "input",
        "remark": "ignored",
        "label": "target",
        "lang": "ignored",
    }
    assert "'remark' is a text too and is left out; --input text --input remark takes it as well" in said
    assert "rows of each answer: good 80 (67%), bad 40 (33%)" in out
    _, prepared = planned()
    own = prepared["rows"]
    groups = [{row.group for row in part} for part in (own.train, own.demonstrations, own.test)]
    assert groups[0].isdisjoint(groups[2] | groups[1])
    assert groups[1].isdisjoint(groups[2])


def test_every_row_is_accounted_for(folder, capsys):
    rows = words(100, ["good", "bad"])
    rows[10] = rows[8]  # repeated
    rows[11] = rows[8] | {"label": "bad"}  # contradicting
    rows[12] = rows[12] | {"text": "  "}
    write_lines(folder / "rows.jsonl", rows)
    assert call("init", "--train", "rows.jsonl", "--base", "./model") == 0
    for printed in (
        capsys.readouterr().out,
        call("tasks", "show", "rows", "--suite", "suite.yaml") or capsys.readouterr().out,
    ):
        numbers = re.search(r"100 rows read: (\d+) training, (\d+) demonstrations, (\d+) test, (\d+) left out", printed)
        assert sum(map(int, numbers.groups())) == 100
        assert int(numbers[4]) == 3
        assert "2 left out: repeated text" in printed
        assert "1 of the repeated contradict" in printed
        assert "1 left out: empty field" in printed


def test_a_script_is_asked_nothing(folder, capsys):
    write_csv(folder / "only.csv", words(80, ["good", "bad"]))
    assert call("init", "--yes", "--base", "./model") == 0
    assert Path("study.yaml").is_file()
    assert "[" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "who", "what", "speakers"),
    [("messages", "role", "content", ("user", "assistant")), ("conversations", "from", "value", ("human", "gpt"))],
)
def test_conversations_of_a_question_and_its_answer_are_read(
    tmp_path, monkeypatch, capsys, column, who, what, speakers
):
    monkeypatch.chdir(tmp_path)

    def turns(number):
        said = ((speakers[0], f"what is {number} and {number}?"), (speakers[1], f"it is {2 * number}"))
        return [{who: "system", what: "be brief"}, *({who: speaker, what: text} for speaker, text in said)]

    rows = [json.dumps({column: turns(number)}) + "\n" for number in range(60)]
    Path("chats.jsonl").write_text("".join(rows))
    assert call("init", "--train", "chats.jsonl", "--yes") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "system ignored 'be brief' in every row" in said
    suite = load_suite("suite.yaml")
    example = prepare(suite, suite.task("chats"), cache=tmp_path).train[0]
    number = int(example.fields["user"].split()[2])
    assert (example.fields, example.target) == (
        {"user": f"what is {number} and {number}?"},
        f"it is {2 * number}",
    )

    Path("chats.jsonl").write_text("".join([*rows, json.dumps({column: turns(1) * 2}) + "\n"]))
    assert call("init", "--train", "chats.jsonl", "--yes", "--out", "more.yaml") == 2
    assert f"conversations in column '{column}' go on to 6 turns" in capsys.readouterr().err


def quiz(count, answer, *, is_nested=False):
    """Rows with three options each, whose answer is the option's place, its letter or its text."""
    draw, rows = random.Random(0), []
    for number in range(count):
        options, place = [f"{colour} {draw.random()}" for colour in ("red", "blue", "grey")], number % 3
        rows.append(
            {
                "question": f"Which colour is drawn in round {number}?",
                "choices": {"text": options, "label": ["A", "B", "C"]} if is_nested else options,
                "answer": {"place": place, "letter": "ABC"[place], "text": options[place]}[answer],
            }
        )
    return rows


@pytest.mark.parametrize("answer", ["place", "letter", "text"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_each_rows_own_options_are_asked_whatever_names_the_right_one(folder, capsys, answer, is_nested):
    rows = quiz(60, answer, is_nested=is_nested)
    write_lines(folder / "quiz.jsonl", rows)
    assert call("init", "--train", "quiz.jsonl", "--yes", "--base", "./model") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "choices options each row's list has its target" in printed
    assert "family choice, each row's own options" in printed
    study, prepared = planned()
    assert study.suite.task("quiz").metrics == ("accuracy",)
    right = {row["question"]: options[number % 3] for number, (row, options) in enumerate(_with_options(rows))}
    read = [row for part in (prepared["quiz"].train, prepared["quiz"].test) for row in part]
    assert len(read) == 58
    assert all(row.target == right[row.fields["question"]] and len(row.options) == 3 for row in read)


def _with_options(rows):
    return [(row, row["choices"]["text"] if isinstance(row["choices"], dict) else row["choices"]) for row in rows]


def test_places_that_are_counted_from_one_are_refused_with_the_row(folder, capsys):
    write_lines(folder / "quiz.jsonl", [row | {"answer": row["answer"] + 1} for row in quiz(60, "place")])
    assert call("init", "--train", "quiz.jsonl", "--yes", "--base", "./model") == 2
    assert "row 3, column 'answer': 3 is no place among 3 options, which are counted from 0" in capsys.readouterr().err
    assert not Path("suite.yaml").exists()


def varied(count):
    """Rows of two labels that resemble one another as little as texts of people do."""
    draw = random.Random(0)
    words = [
        "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.randrange(3, 7))) for _ in range(900)
    ]
    return [
        {
            "message": " ".join(draw.choice(words) for _ in range(8)),
            "remark": " ".join(draw.choice(WORDS) for _ in range(5)),
            "priority": ("urgent", "normal")[draw.random() < 0.5],
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("kind", ["comma", "semicolon", "tab", "lines", "messages", "two texts", "options"])
def test_lint_finds_nothing_to_mend_in_what_init_wrote(folder, kind):
    rows, columns = varied(800), ["--input", "message", "--target", "priority"]
    file = {"comma": "rows.csv", "semicolon": "rows.csv", "tab": "rows.tsv"}.get(kind, "rows.jsonl")
    if file != "rows.jsonl":
        write_csv(folder / file, rows, delimiter={"comma": ",", "semicolon": ";", "tab": "\t"}[kind])
    elif kind == "messages":
        said = [(("user", row["message"]), ("assistant", f"{row['priority']} {n}")) for n, row in enumerate(rows)]
        write_lines(
            folder / file, [{"messages": [{"role": who, "content": text} for who, text in pair]} for pair in said]
        )
        columns = []
    elif kind == "options":
        rows = [row | {"question": more["message"]} for row, more in zip(quiz(800, "place"), rows, strict=True)]
        write_lines(folder / file, rows)
        columns = []
    else:
        write_lines(folder / file, rows)
        columns += ["--input", "remark"] if kind == "two texts" else []
    assert call("init", "--train", file, "--base", "./model", *columns) == 0
    text = (folder / "study.yaml").read_text()  # the other tasks come from the index of packages
    (folder / "study.yaml").write_text(
        "".join(line for line in text.splitlines(True) if "of the pocket suite" not in line)
    )
    study = load_study(folder / "study.yaml", cache=Path("cache"), notice=lambda line: None)
    assert [task.name for task in study.test_on] == ["rows"]
    store = Store(Path("store"))
    notes = {"too-few-items", "padding"}  # of 250 rows, and of the base
    found = [
        one for one in lint(study, store, Workshop(store)) if one.severity != Severity.NOTE or one.check not in notes
    ]
    assert found == []


def test_a_column_of_lists_that_is_no_choice_is_said_to_be_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"row {n}", "tags": ["a", "b"], "label": ("fine", "poor")[n % 2]} for n in range(60)]
    Path("tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call("init", "--train", "tags.jsonl", "--yes") == 0
    assert "tags ignored holds lists" in " ".join(capsys.readouterr().out.split())

"""Lint's checks of token ids: begin and control tokens, templates, seams, answer sets, and what is cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import cycle

from spillover.lint.findings import Asked, Evidence, Finding, Severity, Trained
from spillover.prompts.faults import (
    begin_counts,
    control_token_counts,
    first_token_collisions,
    hidden_answers,
    merged_answers,
)
from spillover.prompts.template import Template
from spillover.records import Example, Relation
from spillover.tasks.relation import relation

SEAMS = 64
"""Rows of a task whose seam between prompt and answer is looked at; the answers take turns."""
CUT_SHARE = 0.05
"""Of a task's references; where more are longer than what is generated, scores are lowered by the limit."""


def begin_tokens(evidence: Evidence) -> Iterator[Finding]:
    """Every prompt, in training and testing, begins with one begin token (BOS), or every one with none."""
    seen: dict[int, str] = {}
    encoded: list[Trained | Asked] = [*evidence.trained, *evidence.asked]
    for found in encoded:
        counts = begin_counts(evidence.encoder, found.prompts)
        for count in counts:
            seen.setdefault(count, found.where)
        if (most := max(counts)) > 1:
            yield Finding(
                "begin-token",
                Severity.ERROR,
                found.where,
                f"{counts[most]} prompts hold the begin token (BOS) {most} times",
                "a model meets one begin token in its own training; more of them shift every likelihood",
                "remove it from the prompt's text; the tokenizer adds what its model needs",
            )
            return
    if len(seen) > 1:
        yield Finding(
            "begin-token",
            Severity.ERROR,
            seen[1],
            f"prompts hold a begin token (BOS), those of {seen[0]} hold none",
            "a difference between the two would be one of the encoding and not of the model",
            "write it in all prompts or in none; rows that trim their prompt (training.overlong) lose it",
        )


def control_tokens(evidence: Evidence) -> Iterator[Finding]:
    """No row holds a control token of the tokenizer as text."""
    rows: dict[str, dict[str, Example]] = {
        name: {row.id: row for row in task.demonstrations} for name, task in evidence.prepared.items()
    }
    for asked in evidence.asked_once:
        rows[asked.step.data.task.name] |= {row.id: row for row in asked.cell.asked.examples}
    for task, trained in evidence.trained_examples.items():
        rows.setdefault(task, {}).update({row.id: row for row in trained})
    for task, by_id in rows.items():
        for token, count in control_token_counts(evidence.encoder, by_id.values()).most_common():
            yield Finding(
                "control-token",
                Severity.WARNING,
                f"task {task!r}",
                f"{count} of {len(by_id)} rows hold {token!r}, a control token of the tokenizer",
                "it becomes that one token: the model reads a text's end, or a turn's, in the middle of a row",
                "remove it from the data (replace on the task), unless it is meant",
            )


def templates(evidence: Evidence) -> Iterator[Finding]:
    """Variants are tested with the prompt they were trained with."""
    forms = evidence.study.prompt_forms
    if evidence.trained and 1 not in forms:
        yield Finding(
            "template",
            Severity.WARNING,
            f"prompt_forms {list(forms)}",
            "variants train on prompt form 1, which is not tested",
            "a loss may be one of the prompt and not of the data",
            "add 1 to prompt_forms",
        )
    said = set()
    for trained in evidence.trained:
        for asked in evidence.asked:
            names = trained.step.data.task.name, asked.step.data.task.name
            related = relation(trained.step.data.task, asked.step.data.task) != Relation.CROSS_TASK
            same = _shape(trained.step.rows.template) == _shape(asked.step.template)
            if related and not same and asked.step.cell.prompt_form == 1 and names not in said:
                said.add(names)
                yield Finding(
                    "template",
                    Severity.WARNING,
                    f"task {names[1]!r}",
                    f"its prompt is not that of {names[0]!r}, a task of the same family that a variant is trained on",
                    "the difference to the base mixes other data with another prompt",
                    "give both the same prompt in their family",
                )
    shots = {asked.step.cell.shots for asked in evidence.asked}
    for count in sorted({trained.step.recipe.demonstrations.count for trained in evidence.trained} - shots):
        yield Finding(
            "template",
            Severity.NOTE,
            "shots",
            f"a variant is trained behind {count} demonstrations and never tested behind so many",
            "it is only seen with prompts of another shape than those it learnt",
            f"add {count} to shots",
        )


def _shape(template: str) -> tuple[str, ...]:
    """Return the words between a template's fields, whatever the fields are called."""
    names, text = Template(template).fields, template
    for name in names:
        text = text.replace(f"{{{name}}}", "\0")
    return tuple(text.split("\0"))


def seams(evidence: Evidence) -> Iterator[Finding]:
    """A prompt and its answer have the same ids as one text and apart."""
    for asked in evidence.asked_once:
        prompts = asked.cell.asked.prompts[:SEAMS]
        examples = asked.cell.asked.examples[:SEAMS]
        targets = [example.target for example in examples]
        if asked.cell.asked.answers:
            targets = [answer for answer, _ in zip(cycle(asked.cell.asked.answers), prompts, strict=False)]
        merged = merged_answers(evidence.encoder, prompts, targets)
        if merged:
            answer, whole, pieces = merged[0]
            at = next(i for i, (a, b) in enumerate(zip((*whole, -1), (*pieces, -1), strict=False)) if a != b)
            token = evidence.encoder.token_text(whole[min(at, len(whole) - 1)])
            yield Finding(
                "seam",
                Severity.WARNING,
                asked.where,
                f"{len(merged)} of {len(prompts)} answers, such as {answer[:40]!r}, merge with the end of the prompt "
                f"(as one text {token!r})",
                "the answer shown in a demonstration has other tokens than the one that is scored and learnt",
                "let the prompt end in a full word or sign, without a space at its end",
            )


def answers(evidence: Evidence) -> Iterator[Finding]:
    """No answer hides another one, and it is said where two begin alike."""
    raw = evidence.study.scoring == "raw"
    for asked in evidence.asked_once:
        where, names, ids = f"task {asked.step.data.task.name!r}", asked.cell.asked.answers, asked.cell.answers
        for short, long in hidden_answers(names, ids):
            yield Finding(
                "answer-prefix",
                Severity.ERROR if raw else Severity.WARNING,
                where,
                f"the tokens of the answer {short!r} begin those of {long!r}",
                f"{long!r} is never likelier than {short!r}, so compared raw it is never chosen",
                "rename one of them (target.map)" + (", or set scoring: pmi" if raw else ""),
            )
        for group in first_token_collisions(names, ids):
            yield Finding(
                "first-token",
                Severity.NOTE,
                where,
                f"the answers {', '.join(map(repr, group))} begin with the same token",
                "whole answers are scored here, but programs that look at the first token alone cannot tell them apart",
                "rename one of them (target.map) to compare with such programs",
            )


def cut_rows(evidence: Evidence) -> Iterator[Finding]:
    """Training rows are not dropped or trimmed for their length."""
    for trained in evidence.trained:
        limit = min(trained.step.settings.max_length, trained.step.base.context_length)
        targets = evidence.encoder.targets([example.target for example in trained.examples])
        masked = sum(len(ids) + 1 >= limit for ids in targets)
        if masked:
            yield Finding(
                "masked-rows",
                Severity.WARNING,
                trained.where,
                f"{masked} of {len(targets)} targets fill {limit} tokens alone, with no room for a prompt",
                "cut to the limit such a row has no token that is learnt, or none that is asked; they are left out",
                "raise training.max_length, or shorten the targets",
            )
        for reason, count in trained.dropped.items():
            if reason == "prompt trimmed" or reason.startswith("longer than"):
                yield Finding(
                    "cut-rows",
                    Severity.WARNING,
                    trained.where,
                    f"{count} of {len(trained.examples)} training rows: {reason}",
                    "it learns from fewer rows than its size says, and least from long ones",
                    "raise training.max_length, use fewer demonstrations, or set field_limits on the task",
                )


def cut_answers(evidence: Evidence) -> Iterator[Finding]:
    """Free text is generated for as long as the references are, and does not stop within them."""
    for asked in evidence.asked_once:
        if asked.cell.choices:
            continue
        given, where = asked.cell.asked, f"task {asked.step.data.task.name!r}"
        targets = [example.target for example in given.examples]
        counts = [len(ids) for ids in evidence.encoder.targets(targets)]
        if longer := sum(count > given.max_new_tokens for count in counts):
            yield Finding(
                "cut-answers",
                Severity.WARNING if longer > CUT_SHARE * len(counts) else Severity.NOTE,
                where,
                f"{longer} of {len(counts)} references are longer than the {given.max_new_tokens} tokens generated",
                "no model can write them, so every score is lowered by the limit",
                f"set generation.max_new_tokens to {max(counts) + 1}",
            )
        if stopped := sum(given.stop in target for target in targets):
            yield Finding(
                "cut-answers",
                Severity.WARNING,
                where,
                f"{stopped} of {len(targets)} references hold the stop text {given.stop!r}",
                "what is generated ends there, so no model can write them",
                "set generation.stop to a text that no reference holds, or replace it in the target",
            )


def ends(evidence: Evidence) -> Iterator[Finding]:
    """The end token stands at the end of targets only, and is learnt although rows are padded with it."""
    counted = Counter[str]()
    for trained in evidence.trained:
        counted[trained.where] += sum(evidence.encoder.end_token_id in row.target[:-1] for row in trained.rows.rows)
    for where, count in (+counted).items():
        yield Finding(
            "end-token",
            Severity.WARNING,
            where,
            f"{count} targets hold the end token in their text",
            "generation ends there, so what follows is learnt and never written",
            "remove the marker from the data (replace on the target)",
        )
    if evidence.encoder.pads_with_end and evidence.trained:
        yield Finding(
            "padding",
            Severity.NOTE,
            f"base {evidence.study.base.name}",
            "its padding token is its end token",
            "rows are masked by their length here, so the end is learnt; a trainer that masks by token would never "
            "learn to stop",
            "nothing here; elsewhere give the tokenizer a padding token of its own",
        )

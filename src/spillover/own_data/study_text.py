"""Writes a proposal as two commented files: the suite of the user's own tasks, and the study."""

import math
from collections.abc import Iterable
from pathlib import Path

import yaml

from spillover.own_data.look import relative_file
from spillover.own_data.propose import MOST_TEST, OwnTask, Proposal
from spillover.statistics.power import CHANGED, WANTED, fewest_items, items_to_show

MARGIN = 0.02
"""What a study's `margin` is where it says nothing."""


def suite_text(proposal: Proposal, folder: Path) -> str:
    """Return the suite, whose files are named relative to ``folder``."""
    return "".join(
        [
            "# The tasks of your own data. Everything here may be changed; see `spillover tasks show --help`.\n",
            "include: [pocket] # the tasks of this built-in suite are at hand too: spillover tasks list\n\n",
            "families: # what tasks of one kind share; another task of the family is out-of-domain to a variant\n",
            f"  {proposal.family}:\n",
            "    prompts: # the answer follows the prompt directly; a second form shows whether wording matters\n",
            f"      1: {_quoted(proposal.prompt)}\n",
            *_answer_lines(proposal),
            f"    metrics: [{', '.join(proposal.metrics)}] # the first one leads\n",
            f"    shots: [0, {proposal.shots}] # demonstrations in the prompt\n",
            f"    fticl_shots: [{proposal.shots}]\n",
            *_limit_lines(proposal),
            "\ntasks:\n",
            *(_task_text(proposal, task, folder) for task in (proposal.trained, *proposal.also)),
        ]
    )


def study_text(proposal: Proposal, base: str, suite_file: str) -> str:
    """Return the study, which looks its tasks up in ``suite_file``."""
    own = proposal.trained
    also = ", ".join(task.name for task in proposal.also)
    lines = [
        f"# What does fine-tuning on {own.table.path.name} do to everything else?",
        "#   spillover lint FILE    faults found before compute is spent",
        "#   spillover plan FILE    what will be done, what it takes, and how small a difference it can show",
        "#   spillover run FILE     do it; stop it any time and run it again",
        f"base: {_plain(base)} # a name of `spillover models list`, a folder, a hub id or a .gguf file",
        f"suite: {_plain('./' + suite_file)}",
        "",
        "variants: # every one is compared with the untouched base",
        "  - name: sft # plain fine-tuning of all weights",
        f"    train_on: {_plain(own.name)}",
        f"    sizes: [{own.train_count}] # training rows, of {own.train_count} or more; several sizes show a trend",
        "  - name: fticl # the same rows, each behind the same demonstrations",
        f"    train_on: {_plain(own.name)}",
        f"    sizes: [{own.train_count}]",
        f"    recipe: {{demonstrations: {proposal.shots}}}",
        "  # - name: lora # an adapter: for bases too large to train whole, and quick to keep",
        f"  #   train_on: {_plain(own.name)}",
        f"  #   sizes: [{own.train_count}]",
        "  #   recipe: {parameters: {kind: lora, rank: 16}, constraint: {kind: l2-sp, strength: 0.01}}",
        "",
        "test_on:",
        f"  - {_plain(own.name)} # in-domain: rows held out of your training file",
        *(f"  - {_plain(task.name)} # out-of-domain: your own" for task in proposal.also),
        *(f"  - {name} # out-of-domain: of the pocket suite" for name in proposal.out_of_domain),
        *(f"  - {name} # cross-task: of the pocket suite" for name in proposal.cross_task),
        "  # more, with larger archives: siqa (questions), snli (inference), xsum (summaries), mmlu (knowledge)",
    ]
    if not also and not proposal.out_of_domain:
        lines.append("  # nothing here is out-of-domain: give other data of the same kind with --also")
    return "\n".join(
        [
            *lines,
            "",
            f"shots: [0, {proposal.shots}] # every model is asked without demonstrations, and with so many",
            f"test_limit: {MOST_TEST} # the most test rows of a cell; `plan` says how small a loss they show",
            *_margin_lines(proposal),
            "seeds: [0] # training seeds; three say how much of a difference is chance",
            "training: # a rate for bases up to a billion parameters; larger ones take 2e-5",
            "  {epochs: 2, batch_size: 8, learning_rate: 1.0e-4}",
            "",
        ]
    )


def _margin_lines(proposal: Proposal) -> Iterable[str]:
    """Yield the study's margin, a wider one where the user's own tasks could never show it, and what it takes.

    Tasks that are too small for both have no say: what they could show is no margin one would ship by.
    """
    counts = {task.name: task.test_count for task in (proposal.trained, *proposal.also)}
    usual, wide = fewest_items(MARGIN), fewest_items(WANTED)
    between = {name: count for name, count in counts.items() if wide <= count < usual}
    margin = WANTED if between or max(counts.values()) < wide else MARGIN
    why = f"{MARGIN:g} takes {usual} test rows of a task at least"
    if margin == MARGIN:
        why += f", and {items_to_show(MARGIN):,} where {100 * CHANGED:g} % of its answers change"
    elif between:
        why += f", and {', '.join(f'{name} has {count}' for name, count in between.items())}"
    yield f"margin: {margin:g} # losses up to it count as nothing lost; {why}"
    small = [f"{name} ({count} test rows)" for name, count in counts.items() if count < wide]
    if small:
        yield f"  # {', '.join(small)} can never show so little: {fewest_items(margin)} rows could, if nothing changed"


def _answer_lines(proposal: Proposal) -> Iterable[str]:
    if proposal.options:
        yield "    length_normalised: true # in nats per character, so that long options stand a chance\n"
        return
    if not proposal.answers:
        limits = f"max_new_tokens: {proposal.max_new_tokens}, stop: {_quoted(proposal.stop)}"
        yield f"    generation: {{{limits}}} # free text\n"
        return
    yield f"    answers: [{', '.join(map(_plain, proposal.answers))}] # each is scored for every test row\n"
    if all(answer.isdigit() for answer in proposal.answers):
        pairs = ", ".join(f"{_plain(answer)}: WORD" for answer in proposal.answers)
        yield "    # A model knows words better than numbers. In `answers` write the words, and in the task:\n"
        yield f"    #   target: {{column: {_plain(proposal.target)}, map: {{{pairs}}}}}\n"


def _limit_lines(proposal: Proposal) -> Iterable[str]:
    if proposal.word_limit is not None:
        limits = ", ".join(f"{field}: {proposal.word_limit}" for field, _ in proposal.inputs)
        yield f"    field_limits: {{{limits}}} # words; the rest is cut, so that demonstrations fit too\n"


def _task_text(proposal: Proposal, task: OwnTask, folder: Path) -> str:
    file = _plain(relative_file(task.table.path, folder))
    renamed = ", ".join(f"{_plain(name)}: {_plain(place)}" for name, place in task.table.renamed.items())
    more = (f", separator: {_quoted(task.table.separator)}" if task.table.separator else "") + (
        f", rename: {{{renamed}}}" if renamed else ""
    )
    source = f"{{file: {file}{more}}}" if more else file
    read = {field: _plain(column) for field, column in proposal.inputs}
    if proposal.followed_by:
        field, column = proposal.inputs[0]
        following = ", ".join(f'{_plain(name)}: "\\n\\n"' for name in proposal.followed_by)
        read[field] = f"{{column: {_plain(column)}, followed_by: {{{following}}}}}"
    columns = ", ".join(f"{field}: {column}" for field, column in read.items())
    lines = [
        f"  {_plain(task.name)}:",
        f"    family: {proposal.family}",
        f"    sources: {{pool: {source}}} # or train:, demonstrations: and test: with files of their own",
        f"    columns: {{{columns}}} # field of the prompt: your column",
        f"    target: {_target_text(proposal)}",
    ]
    if proposal.options:
        lines.append(
            f"    options: {_plain(proposal.options)} # each row's list is scored; the target is one, or its place"
        )
    if task.left_out:
        lines.append(f"    drop_targets: [{', '.join(map(_plain, task.left_out))}] # not in the training file")
    lines += [
        f"    group: {_plain(proposal.group)} # rows of one never fall into both training and test"
        if proposal.group
        else "    # group: customer   # a column; rows of one customer never fall into both training and test",
        f"    split: {{demonstrations: {task.demonstration_count}, test: {task.test_count}"
        + ("}" if task.train_count else ", train: 0}")
        + (f" # of {len(task.table.rows)} rows; the rest is for training" if task.train_count else " # a test only"),
        "",
    ]
    return "\n".join(lines)


def _target_text(proposal: Proposal) -> str:
    """Return the target; labels that are one word are joined by a map, in which hidden differences can be seen."""
    column = _plain(proposal.target)
    if not proposal.label_map:
        return column
    pairs = ", ".join(f"{_plain(label, seen=True)}: {_plain(answer)}" for label, answer in proposal.label_map.items())
    return f"{{column: {column}, map: {{{pairs}}}}} # spellings of one word are one answer"


def _plain(text: str, *, seen: bool = False) -> str:
    """Return a text as YAML, without quotes where it is a plain word."""
    is_word = text.replace("-", "").replace("_", "").replace(".", "").replace("/", "").isalnum() and text.isascii()
    is_text = text[:1].isalpha() or text.startswith(("./", "../"))
    return (
        text if is_word and is_text and text.casefold() not in ("true", "false", "null") else _quoted(text, seen=seen)
    )


def _quoted(text: str, *, seen: bool = False) -> str:
    """Return a text as YAML in quotes; ``seen`` writes every character other than ASCII as its number."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=not seen, width=math.inf).strip()

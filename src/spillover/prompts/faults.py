"""What can go wrong where text becomes token ids: begin and control tokens, seams, answers that collide."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from spillover.prompts.encoding import Encoder, TokenIds
from spillover.records import Example


def begin_counts(encoder: Encoder, prompts: Sequence[TokenIds]) -> Counter[int]:
    """Return how often prompts hold their begin token (BOS): number of begin tokens to number of prompts.

    Where the token also marks turns of a chat, only those a prompt begins with are counted.
    """
    begin = encoder.begin_token_id
    if begin is None:
        return Counter({0: len(prompts)}) if prompts else Counter()
    if not encoder.begin_marks_turns:
        return Counter(prompt.count(begin) for prompt in prompts)
    leading = (next((at for at, token in enumerate(prompt) if token != begin), len(prompt)) for prompt in prompts)
    return Counter(leading)


def merged_answers(
    encoder: Encoder, prompts: Sequence[str], answers: Sequence[str]
) -> list[tuple[str, TokenIds, TokenIds]]:
    """Return where a prompt and its answer, encoded as one text, have other ids than the two encoded apart.

    Such an answer, shown in a demonstration, is not the token sequence that is scored and learnt. A tokenizer that puts
    a space before every text gives an answer the ids it has behind a space, which is where models have met it: that
    alone is none.

    Args:
        encoder: The tokenizer.
        prompts: Texts of whole prompts.
        answers: The answer of each prompt.

    Returns:
        The answer, the ids of both as one text and the ids apart, for each prompt where they differ.
    """
    together = encoder.prompts([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
    apart = [(*prompt, *own) for prompt, own in zip(encoder.prompts(prompts), encoder.targets(answers), strict=True)]
    triples = zip(answers, together, apart, strict=True)
    if encoder.puts_space_first:
        spaced = encoder.prompts([f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)])
    else:
        spaced = together
    return [
        (answer, whole, pieces)
        for (answer, whole, pieces), behind_space in zip(triples, spaced, strict=True)
        if pieces not in (whole, behind_space)
    ]


def control_token_counts(encoder: Encoder, examples: Iterable[Example]) -> Counter[str]:
    """Return how many rows hold each control token of the tokenizer as text, which becomes that one token."""
    if not encoder.control_tokens:
        return Counter()
    pattern = re.compile("|".join(map(re.escape, encoder.control_tokens)))
    return Counter(
        token
        for example in examples
        for token in set(pattern.findall("\0".join([*example.fields.values(), example.target, *example.options])))
    )


def hidden_answers(answers: Sequence[str], encoded: Sequence[TokenIds]) -> list[tuple[str, str]]:
    """Return pairs of answers of which the first one's ids begin the second one's.

    The second has the first's log-likelihood plus what is never positive: compared raw, it can never be chosen.
    """
    return [
        (short, long)
        for short, short_ids in zip(answers, encoded, strict=True)
        for long, long_ids in zip(answers, encoded, strict=True)
        if len(short_ids) < len(long_ids) and long_ids[: len(short_ids)] == short_ids
    ]


def first_token_collisions(answers: Sequence[str], encoded: Sequence[TokenIds]) -> list[tuple[str, ...]]:
    """Return groups of answers that begin with the same token."""
    groups: dict[int, list[str]] = {}
    for answer, ids in zip(answers, encoded, strict=True):
        groups.setdefault(ids[0], []).append(answer)
    return [tuple(group) for group in groups.values() if len(group) > 1]

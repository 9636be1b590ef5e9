"""Reads options and answers out of samples as lm-eval logs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spillover.evaluation.harness.logged_tasks import Sample


def logged_answer(row: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, None, str | None]:
    """Return the options of a logged sample, that the right one is not known yet, and the answer.

    Options are empty where text is generated or a single continuation is scored, None where a whole text is scored or
    the log has no responses. Of several filters' readings of one text, each has a line of its own.

    Args:
        row: A line of a samples file, which holds numbers as text: the request ``arguments`` and ``filtered_resps``,
            for choices (log-likelihood in nats, whether it is the greedy continuation) for each option.
    """
    asked, responses = row["arguments"], row.get("filtered_resps")
    requests = [_parts(request) for request in _parts(asked)]
    if not isinstance(responses, list) or not responses or any(len(request) < 2 for request in requests):
        return None, None, None
    nats = [_nats(response) for response in responses]
    known = [value for value in nats if value is not None]
    if not known:
        return (), None, _first_text(responses)
    if len(known) < len(nats) or len(nats) != len(requests):
        return None, None, None
    if len(nats) == 1:
        return (), None, None
    # Mutual information asks for every option a second time, without the context.
    count = len(nats) // 2 if "acc_mutual_info" in row["metrics"] else len(nats)
    options = _different([str(request[1]).strip() for request in requests[:count]]) or _different(
        [str(request[0]).strip() for request in requests[:count]]  # where the options stand in the context
    )
    return options, None, options[int(np.argmax(known[:count]))] if options else None


def without_settings(arguments: object, *, is_text: bool) -> tuple[list[list[Any]], dict[str, object]]:
    """Return what the requests of a sample ask, and apart from it how their texts are to be decoded.

    Args:
        arguments: Of a line of a samples file: (prompt, settings of the generation) or (prompt, continuation) for each
            request, as lists or, in files of newer versions, as mappings ``gen_args_0`` of ``arg_0``.
        is_text: Whether text was generated, so that whatever follows a prompt is a setting.
    """
    asked, settings = [], dict[str, object]()
    for request in _parts(arguments):
        prompt, *others = _parts(request) or [None]
        for other in others:
            if isinstance(other, Mapping):
                settings.update({str(name): value for name, value in other.items()})
            elif is_text:
                settings["the second argument"] = other
        asked.append([prompt, *(other for other in others if not is_text and not isinstance(other, Mapping))])
    return asked, settings


def with_right_options(samples: Mapping[str, Sample]) -> dict[str, Sample]:
    """Return the samples with the place of the right option, where it is known of all.

    lm-eval logs a target as its place or as its text, and both may be digits: what holds is the reading by which
    accuracy comes out as it was logged.
    """
    for place in (_place_of_number, _place_of_text):
        found = {item: replace(sample, right=place(sample)) for item, sample in samples.items()}
        if all(sample.right is not None and _agrees(sample, sample.right) for sample in found.values()):
            return found
    return dict(samples)


def _place_of_number(sample: Sample) -> int | None:
    is_place = sample.target.isdecimal() and int(sample.target) < len(sample.options or ())
    return int(sample.target) if is_place else None


def _place_of_text(sample: Sample) -> int | None:
    text, options = sample.target.strip(), sample.options or ()
    return options.index(text) if text in options else None


def _agrees(sample: Sample, right: int) -> bool:
    """Whether accuracy is what it would be if this option were right; nothing contradicts where it was not logged, or
    where another option has the same text.
    """
    logged, options = sample.values.get("acc"), sample.options or ()
    return logged is None or options.count(options[right]) > 1 or logged[0] == float(options[right] == sample.answer)


def _parts(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _different(texts: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(texts) if len(set(texts)) > 1 else None


def _nats(response: object) -> float | None:
    """Return the log-likelihood of a response that has one, and says whether it is greedy."""
    if not isinstance(response, list | tuple) or len(response) != 2 or str(response[1]) not in ("True", "False"):
        return None
    try:
        return float(response[0])
    except (TypeError, ValueError):
        return None


def _first_text(responses: object) -> str | None:
    """Return the first generated text; several may have been drawn for an item."""
    while isinstance(responses, list | tuple) and responses:
        responses = responses[0]
    return responses if isinstance(responses, str) else None

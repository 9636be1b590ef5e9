"""The flip floor of lm-eval's multiple-choice cells: the engine's answers against every request run whole and alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spillover.evaluation.exactness import checked_items, choice_difference, floor_of
from spillover.evaluation.harness.asked import HarnessCell
from spillover.evaluation.harness.lm import EngineLM
from spillover.models.exact import plain_log_likelihoods
from spillover.records import FlipFloor, Prediction


class PlainLM(EngineLM):
    """Answers lm-eval's requests without a cache, one by one; token ids and truncation are the engine's.

    Whether a continuation is greedy is not worked out: it is told to be not.
    """

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,  # noqa: ARG002 (lm-eval's signature)
        override_bs: int | None = None,  # noqa: ARG002
    ) -> list[tuple[float, bool]]:
        results = []
        for _, context, continuation in requests:
            prompt, answer = self.within_context(context, continuation)
            results.append((float(plain_log_likelihoods(self.model, prompt, [answer])[0]), False))
        return results


def choice_flip_floor(
    plain: PlainLM, cell: HarnessCell, predictions: Sequence[Prediction], *, item_count: int
) -> FlipFloor:
    """Compare a sample of a multiple-choice cell's predictions with the plain path; the same cell, the same sample.

    Args:
        plain: The model that answered, in float32.
        cell: What was asked.
        predictions: What was answered, in the order of the cell.
        item_count: Items to compare, or all where the cell has fewer.
    """
    differences = []
    for index in checked_items(cell.cell, len(predictions), item_count):
        found = np.asarray(predictions[index].log_likelihoods)
        requests = list(cell.items[index].requests[: len(found)])  # more follow where a metric asks without context
        nats = np.array([nats for nats, _ in plain.loglikelihood(requests, disable_tqdm=True)])
        differences.append(choice_difference(nats, found))
    return floor_of(differences)

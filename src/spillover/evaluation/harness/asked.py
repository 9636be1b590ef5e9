"""What one cell of an lm-eval task asks, what a model answers, and what lm-eval's own code makes of the answers."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.errors import SpilloverError, UserError
from spillover.evaluation.harness.aggregations import RIGHT, USUAL, item_statistics, metric_card, plain_name
from spillover.evaluation.harness.tasks import FIRST_SEED, HarnessTask, at_work
from spillover.prompts.encoding import common_prefix_length
from spillover.records import AskedItem, Cell, FloatArray, MetricCard, Prediction, PromptCard

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from spillover.evaluation.harness.lm import EngineLM

Response = tuple[float, bool] | float | str
"""Log-likelihood in nats and whether it is the greedy continuation; log-likelihood of a whole text; generated text."""


@dataclass(frozen=True, slots=True, eq=False)
class HarnessItem:
    """One document and the requests that lm-eval makes of it."""

    id: str
    """A digest of the document, and its rank among documents of the same content."""
    document: Mapping[str, object]
    requests: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class MetricRule:
    """How a metric's statistics become its value."""

    aggregation: str
    """A name of `spillover.evaluation.harness.aggregations.COMBINE`."""
    higher_is_better: bool

    def card(self, name: str, statistics: Sequence[FloatArray]) -> MetricCard:
        """Return the metric's card, given its statistics in every cell."""
        better, is_right = self.higher_is_better, plain_name(name) in RIGHT
        return metric_card(name, self.aggregation, statistics, higher_is_better=better, is_right=is_right)


@dataclass(frozen=True, slots=True)
class HarnessScores:
    """A cell's per-item statistics as lm-eval's own code gives them."""

    statistics: Mapping[str, FloatArray]
    """Metric to ``(n, 2)``: value and weight."""
    rules: Mapping[str, MetricRule]
    left_out: tuple[str, ...]
    """A sentence for every metric that not every item has as a number."""


@dataclass(frozen=True, eq=False)
class HarnessCell:
    """A task at one shot count, the same for every model."""

    task: HarnessTask
    cell: Cell
    items: tuple[HarnessItem, ...]

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the documents, and of everything that is asked of them."""
        documents = [item.id for item in self.items]
        requests = [[request.request_type, request.args] for item in self.items for request in item.requests]
        return {"documents": _digest(self.task.name, documents), "requests": _digest(self.task.name, requests)}

    @property
    def token_count(self) -> float:
        """About how many tokens a model reads and writes, at four characters a token."""
        written = self.task.task.config.generation_kwargs or {}
        new = float(written.get("max_gen_toks", 64)) if self.task.task.OUTPUT_TYPE == "generate_until" else 0.0
        texts = {str(request.args[0]) for item in self.items for request in item.requests}
        return sum(map(len, texts)) / 4 + new * len(self.items)

    def card(self, lm: EngineLM) -> PromptCard:
        """Return the first prompt as the report shows it."""
        item, rolling = self.items[0], self.items[0].requests[0].request_type == "loglikelihood_rolling"
        contexts = ["" if rolling else str(item.requests[0].args[0]) for item in self.items]
        encoded = [tuple(lm.tok_encode(context)) for context in contexts]
        pairs = [
            request.args for request in item.requests if request.request_type == "loglikelihood" and request.args[0]
        ]
        return PromptCard(
            self.cell,
            item.id,
            contexts[0],
            encoded[0],
            common_prefix_length(encoded),
            item.requests[0].args[0] if rolling else self._target(item),
            {pair[1]: tuple(lm._encode_pair(*pair)[1]) for pair in pairs},
        )

    @property
    def chooses(self) -> bool:
        """Whether each item is a choice between options."""
        return bool(self.task.task.OUTPUT_TYPE == "multiple_choice")

    @property
    def is_answered(self) -> bool:
        """Whether models choose or write something; where texts are scored they say nothing."""
        return self.chooses or self.task.task.OUTPUT_TYPE == "generate_until"

    def asked_items(self) -> list[AskedItem]:
        """Return every item as it was asked; where a whole text is scored, it is the target."""
        items = []
        for item in self.items:
            first = item.requests[0]
            rolling = first.request_type == "loglikelihood_rolling"
            context, target = ("", first.args[0]) if rolling else (first.args[0], self._target(item))
            items.append(AskedItem(item.id, str(context), str(target), self._options(item) if self.chooses else ()))
        return items

    def ask(self, lm: EngineLM) -> list[list[Response]]:
        """Return one response for every request of every item; all requests of a kind are handed over at once."""
        flat = [request for item in self.items for request in item.requests]
        found: dict[int, Response] = {}
        for kind in dict.fromkeys(request.request_type for request in flat):
            indices = [index for index, request in enumerate(flat) if request.request_type == kind]
            answers = getattr(lm, kind)([flat[index] for index in indices], disable_tqdm=True)
            found.update(zip(indices, answers, strict=True))
        responses = iter(found[index] for index in range(len(flat)))
        return [[next(responses) for _ in item.requests] for item in self.items]

    def predictions(self, responses: Sequence[Sequence[Response]]) -> list[Prediction]:
        """Return what was answered to each item in the terms of this package."""
        return [self._prediction(item, own) for item, own in zip(self.items, responses, strict=True)]

    def _prediction(self, item: HarnessItem, responses: Sequence[Response]) -> Prediction:
        nats = tuple(float(r[0]) if isinstance(r, tuple) else r for r in responses if not isinstance(r, str))
        target, texts = self._target(item), [response for response in responses if isinstance(response, str)]
        if not self.chooses:
            return Prediction(item.id, target, texts[0] if texts else "", nats)
        options = self._options(item)
        nats = nats[: len(options)]  # more follow where a metric also asks without the context
        return Prediction(item.id, target, options[int(np.argmax(nats))], nats, options=options)

    def _options(self, item: HarnessItem) -> tuple[str, ...]:
        with at_work(self.task.name, fault=SpilloverError):
            return tuple(map(str, self.task.task.doc_to_choice(item.document)))

    def _target(self, item: HarnessItem) -> str:
        task = self.task.task
        with at_work(self.task.name, fault=SpilloverError):
            # Where the options stand in the context, lm-eval keeps the right one's place in the text.
            gold: Any = (task.doc_to_text if task.multiple_input else task.doc_to_target)(item.document)
        options = self._options(item) if task.config.doc_to_choice is not None else ()
        listed = gold if isinstance(gold, list) else [gold]
        return " | ".join(
            options[entry] if isinstance(entry, int) and entry < len(options) else str(entry) for entry in listed
        )

    def scores(self, responses: Sequence[Sequence[Response]]) -> HarnessScores:
        """Return what lm-eval's filters and ``process_results`` make of each item.

        Raises:
            SpilloverError: lm-eval fails, or a number is not finite.
        """
        task = self.task.task
        answered = [
            [
                replace(request, resps=[response] * (request.repeats or 1), filtered_resps={})
                for request, response in zip(item.requests, own, strict=True)
            ]
            for item, own in zip(self.items, responses, strict=True)
        ]
        values: dict[str, list[object]] = {}
        sources: dict[str, str] = {}
        with at_work(self.task.name, fault=SpilloverError):
            task._instances = [request for own in answered for request in own]
            task.apply_filters()
            for sample_filter in answered[0][0].filtered_resps:
                for item, own in zip(self.items, answered, strict=True):
                    results = [request.filtered_resps[sample_filter] for request in own]
                    for metric, value in task.process_results(item.document, results).items():
                        name = metric if sample_filter == "none" else f"{metric} ({sample_filter})"
                        values.setdefault(name, []).append(value)
                        sources[name] = metric
        return self._summed(values, sources)

    def _summed(self, values: Mapping[str, Sequence[object]], sources: Mapping[str, str]) -> HarnessScores:
        statistics: dict[str, FloatArray] = {}
        rules: dict[str, MetricRule] = {}
        left_out: list[str] = []
        better = self.task.task.higher_is_better()
        for name, column in values.items():
            aggregation = self.task.aggregations.get(sources[name], "mean")  # lm-eval's rule for what is not declared
            if not aggregation:
                continue
            rows = [row for value in column if (row := item_statistics(value, aggregation)) is not None]
            if len(rows) < len(self.items):
                left_out.append(f"{self.task.name}: metric {name}: not every item has a number")
                continue
            found = np.array(rows, dtype=np.float64)
            if not np.isfinite(found).all():
                raise SpilloverError(f"{self.task.name}: metric {name} is not finite for some items")
            usual = USUAL.get(sources[name], "mean")
            key = name if aggregation == usual else f"{name}, {aggregation}"
            statistics[key] = found
            rules[key] = MetricRule(aggregation, bool(better.get(sources[name], aggregation == "mean")))
        if not statistics:
            raise SpilloverError(f"{self.task.name}: no metric has a number for every item")
        return HarnessScores(statistics, rules, tuple(left_out))


def harness_cell(task: HarnessTask, *, shots: int, demonstration_seed: int, limit: int) -> HarnessCell:
    """Return what a task asks at a shot count, its demonstrations chosen as lm-eval chooses them.

    Args:
        task: The task.
        shots: Demonstrations.
        demonstration_seed: 0 stands for lm-eval's own default seed.
        limit: Documents at the most, the first ones.

    Raises:
        UserError: The task fails, has fewer than two documents, or holds what has no stable bytes.
    """
    with at_work(task.name):
        task.task.set_config("num_fewshot", shots)
        task.task.set_fewshot_seed(FIRST_SEED + demonstration_seed)
        task.task.build_all_requests(limit=limit)
        requests: dict[int, list[Instance]] = {}
        for request in task.task.instances:
            requests.setdefault(request.doc_id, []).append(request)
    seen: Counter[str] = Counter()
    items = []
    for own in requests.values():
        content = _digest(task.name, own[0].doc)[:16]
        seen[content] += 1
        items.append(HarnessItem(f"{content}-{seen[content]}", own[0].doc, tuple(sorted(own, key=lambda r: r.idx))))
    if len(items) < 2:
        raise UserError(f"{task.name}: {len(items)} documents are left to ask, at least two are needed")
    return HarnessCell(task, Cell(task.name, 1, shots, demonstration_seed), tuple(items))


def _digest(name: str, value: object) -> str:
    try:
        content = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name}: its documents hold what has no stable bytes ({error}); the store could not know them again, "
            "remove the task from test_on"
        ) from None
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

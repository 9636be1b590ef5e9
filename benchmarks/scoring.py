"""Log-likelihood scoring against lm-eval on the same token ids: cost, memory and agreement.

Run: python benchmarks/scoring.py [--quick] [--only NAME] [--json FILE]
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import cells
import measure

WORKS = {
    "rte": ("RTE, 0+3+5+7 shots", "rte", (0, 3, 5, 7)),
    "sst2": ("SST-2, 0+2+4+6 shots", "sst2", (0, 2, 4, 6)),
    "rte-zero": ("one zero-shot RTE cell", "rte", (0,)),
}
BRIDGE = "openbookqa"
LM_EVAL_BATCH = 8
"""Requests of one lm-eval batch unless told otherwise; larger ones pad more and hold more logits."""
CHOICES = 4
"""Options of an OpenBookQA question."""


def answer_cell(side: str, served: Any, question: dict[str, Any]) -> list[list[float]]:
    """Score every answer of every prompt of a cell: (items, answers) in nats."""
    prompts, answers = question["prompts"], question["answers"]
    if side == measure.LM_EVAL:
        requests = [(("", ""), list(prompt), list(answer)) for prompt in prompts for answer in answers]
        scores = served.lm._loglikelihood_tokens(requests, disable_tqdm=True)
        return np.array([nats for nats, _ in scores]).reshape(len(prompts), -1).tolist()
    from spillover.models.scoring import PrefixCache, answer_log_likelihoods

    prefixes = served.kept.setdefault("prefixes", PrefixCache(served.model))
    rows = answer_log_likelihoods(served.model, prompts, [answers] * len(prompts), prefixes=prefixes)
    return [row.tolist() for row in rows]


def answer_requests(side: str, served: Any, requests: list[tuple[str, str]]) -> list[list[float]]:
    """Answer lm-eval's own requests through its interface: (items, options) in nats."""
    from lm_eval.api.instance import Instance

    lm = served.lm
    if side == measure.OURS:
        from spillover.evaluation.harness.lm import EngineLM

        lm = EngineLM(served.model, served.tokenizer)
    instances = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(requests)]
    scores = lm.loglikelihood(instances, disable_tqdm=True)
    return np.array([nats for nats, _ in scores]).reshape(-1, CHOICES).tolist()


def differences(theirs: list[list[float]], ours: list[list[float]]) -> tuple[float, bool]:
    """Return the largest difference in nats, and whether every item's best answer is the same."""
    left, right = np.array(theirs), np.array(ours)
    return float(np.abs(left - right).max()), bool((left.argmax(1) == right.argmax(1)).all())


def main() -> None:
    parser = measure.parser(
        __doc__.splitlines()[0], [*WORKS, BRIDGE], items=250, quick_items=8, lm_eval_batch=LM_EVAL_BATCH
    )
    parser.add_argument("--release", type=Path, default=cells.GENPOWER, help="the genpower release's folder")
    options = parser.parse_args()
    setup, count = measure.setup_of(options), measure.item_count_of(options)
    outcomes = []
    for name, (work, task, shots) in WORKS.items():
        if options.only in (None, name):
            questions = [_encoded(setup, cells.cell_texts(task, k, count, release=options.release)) for k in shots]
            warm_up = {"prompts": questions[0]["prompts"][:1], "answers": questions[0]["answers"]}
            outcomes.append(
                measure.compare(
                    cells.shown_name(work, task, release=options.release),
                    answer_cell,
                    questions,
                    setup,
                    warm_up=warm_up,
                    item_count=count,
                    differences=differences,
                )
            )
            measure.show(outcomes[-1])
    if options.only in (None, BRIDGE):
        with tempfile.TemporaryDirectory() as folder:
            requests = cells.openbookqa_requests(count, Path(folder))
        work = "lm-eval's own openbookqa, 5 fixed shots, through the bridge"
        outcomes.append(
            measure.compare(
                work,
                answer_requests,
                [requests],
                setup,
                warm_up=requests[:CHOICES],
                item_count=count,
                differences=differences,
            )
        )
        measure.show(outcomes[-1])
    measure.write(outcomes, options.json)


def _encoded(setup: measure.Setup, texts: cells.CellTexts) -> dict[str, Any]:
    from spillover.models.tokenizer import load_tokenizer
    from spillover.prompts.encoding import Encoder

    encoder = Encoder(load_tokenizer(setup.model))
    return {"prompts": encoder.prompts(texts.prompts), "answers": encoder.targets(texts.answers)}


if __name__ == "__main__":
    main()

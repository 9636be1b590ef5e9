"""Greedy generation against lm-eval on the same token ids: cost, memory and agreement.

Run: python benchmarks/generation.py [--quick] [--only NAME] [--json FILE]
The difference shown is the share of rows whose text differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cells
import measure

WORKS = {"sciq": ("SciQ question generation, 2 shots, 60 tokens", "sciqa", 2, 60)}
LM_EVAL_BATCH = 16
"""Rows of one lm-eval batch unless told otherwise."""


def write_texts(side: str, served: Any, question: dict[str, Any]) -> list[str]:
    """Write a continuation of every prompt, cut at the stop string."""
    texts, stop, limit = question["texts"], question["stop"], question["max_new_tokens"]
    if side == measure.LM_EVAL:
        from lm_eval.api.instance import Instance

        for text, ids in zip(texts, question["prompts"], strict=True):
            if served.lm.tok_batch_encode([text])[0][0].tolist() != list(ids):
                raise ValueError(f"lm-eval encodes {text[:60]!r} into other token ids")
        settings = {"until": [stop], "max_gen_toks": limit, "do_sample": False}
        instances = [Instance("generate_until", {}, (text, settings), at) for at, text in enumerate(texts)]
        return served.lm.generate_until(instances, disable_tqdm=True)
    from spillover.evaluation.predict import holds
    from spillover.models.generation import generate
    from spillover.prompts.answers import cut
    from spillover.prompts.encoding import Encoder

    encoder = Encoder(served.tokenizer)
    rows = generate(
        served.model,
        question["prompts"],
        max_new_tokens=limit,
        end_token_id=encoder.end_token_id,
        is_finished=holds(encoder, stop),
    )
    return [cut(encoder.decode(row), stop) for row in rows]


def differences(theirs: list[str], ours: list[str]) -> tuple[float, bool]:
    """Return the share of rows whose text differs, and whether none does."""
    different = sum(left.strip() != right.strip() for left, right in zip(theirs, ours, strict=True))
    return different / len(theirs), different == 0


def main() -> None:
    parser = measure.parser(
        __doc__.splitlines()[0], list(WORKS), items=250, quick_items=16, lm_eval_batch=LM_EVAL_BATCH
    )
    parser.add_argument("--release", type=Path, default=cells.GENPOWER, help="the genpower release's folder")
    options = parser.parse_args()
    setup, count = measure.setup_of(options), measure.item_count_of(options)
    outcomes = []
    for work, task, shots, max_new_tokens in WORKS.values():
        texts = cells.cell_texts(task, shots, count, release=options.release)
        question = {
            "texts": texts.prompts,
            "prompts": _encoded(setup, texts.prompts),
            "stop": texts.stop,
            "max_new_tokens": max_new_tokens,
        }
        warm_up = question | {
            "texts": texts.prompts[:1],
            "prompts": question["prompts"][:1],
            "max_new_tokens": 2,
        }
        outcomes.append(
            measure.compare(
                cells.shown_name(work, task, release=options.release),
                write_texts,
                [question],
                setup,
                warm_up=warm_up,
                item_count=count,
                differences=differences,
            )
        )
        measure.show(outcomes[-1])
    measure.write(outcomes, options.json)


def _encoded(setup: measure.Setup, texts: list[str]) -> list[tuple[int, ...]]:
    from spillover.models.tokenizer import load_tokenizer
    from spillover.prompts.encoding import Encoder

    return Encoder(load_tokenizer(setup.model)).prompts(texts)


if __name__ == "__main__":
    main()

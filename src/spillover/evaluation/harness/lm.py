"""Our engine as a model of lm-eval: its requests, its token ids, our shared-prefix scoring and decoding."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from spillover.errors import UserError, unknown_name
from spillover.models.generation import generate
from spillover.models.scoring import PrefixCache, answer_scores
from spillover.prompts.encoding import TokenIds
from spillover.prompts.grouping import DECODING_GROUP_COST, SCORING_GROUP_COST, prefix_groups

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SAMPLING_ROWS = 16
"""Rows of one batch where lm-eval's own generation is used."""
PLAIN_GENERATION = frozenset(
    {"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "do_sample", "temperature", "top_k"}
    | {"top_p", "max_length", "max_new_tokens", "use_cache", "_from_model_config", "cache_implementation"}
)
"""Settings of a model's generation_config that do not change what greedy decoding writes."""


class EngineLM(HFLM):  # type: ignore[misc]
    """A loaded model served to lm-eval.

    Token ids, truncation, rolling windows and chat templates are those of lm-eval's own ``hf`` model, by inheritance;
    only how the tokens are scored and decoded is ours. Sampling, beams and penalties are left to lm-eval's own way.

    Args:
        model: In evaluation mode, on its device.
        tokenizer: The model's.
        pack_tokens: Tokens of one packed pass, by default what suits the device; changes rounding only.
        options: ``max_length``, ``add_bos_token``, ``prefix_token_id`` as lm-eval's ``hf`` model takes them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pack_tokens: int | None = None,
        **options: Any,
    ) -> None:
        # All rolling windows are handed over at once; the engine makes its own batches.
        super().__init__(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=sys.maxsize, **options)
        self._pack_tokens = pack_tokens

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,  # noqa: ARG002 (lm-eval's signature)
        override_bs: int | None = None,  # noqa: ARG002
    ) -> list[tuple[float, bool]]:
        asked: dict[TokenIds, list[int]] = {}
        for index, (_, context, continuation) in enumerate(requests):
            if not context or not 0 < len(continuation) <= self.max_length:
                raise UserError(
                    f"lm-eval request {index}: {len(context)} tokens of context and {len(continuation)} to score; "
                    f"expected at least one of each and at most {self.max_length} to score"
                )
            asked.setdefault(self.within_context(context, continuation)[0], []).append(index)
        prompts = list(asked)
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        prefixes = PrefixCache(self.model)
        for group in prefix_groups(prompts, group_cost=SCORING_GROUP_COST):
            answers = [[tuple(requests[index][2]) for index in asked[prompts[at]]] for at in group]
            members = [prompts[at] for at in group]
            scored = answer_scores(self.model, members, answers, prefixes=prefixes, pack_tokens=self._pack_tokens)
            for prompt, row in zip(members, scored, strict=True):
                for index, nats, greedy in zip(asked[prompt], row.log_likelihoods, row.is_greedy, strict=True):
                    results[index] = float(nats), bool(greedy)
        for (texts, _, _), result in zip(requests, results, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, result)
        return results

    def within_context(self, context: list[int], continuation: list[int]) -> tuple[TokenIds, TokenIds]:
        """Return context and continuation, the context cut at its start where both do not fit.

        The last token is scored but never run, so one token more than the context length fits.
        """
        kept = tuple((context + continuation)[-(self.max_length + 1) :])
        return kept[: -len(continuation)], kept[-len(continuation) :]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the greedy continuations, cut at their stop strings."""
        alike: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            alike.setdefault(repr(sorted(request.args[1].items())), []).append(index)
        texts = [""] * len(requests)
        for indices in alike.values():
            for index, text in zip(indices, self._generate([requests[i] for i in indices], disable_tqdm), strict=True):
                texts[index] = text
        return texts

    def _generate(self, requests: list[Instance], disable_tqdm: bool) -> list[str]:
        """Generate for requests of the same settings."""
        settings = normalize_gen_kwargs(requests[0].args[1], self.max_gen_toks)
        until = handle_stop_sequences(settings.pop("until"), eos=self.tok_decode([self.eot_token_id], False))
        max_new_tokens = settings.pop("max_gen_toks")
        if settings.pop("do_sample") or settings.pop("temperature", 0.0) or settings or not self._decodes_plainly():
            batches = [requests[at : at + SAMPLING_ROWS] for at in range(0, len(requests), SAMPLING_ROWS)]
            return [text for batch in batches for text in super(EngineLM, self).generate_until(batch, disable_tqdm)]
        room = self.max_length - max_new_tokens
        if room <= 0:
            raise UserError(
                f"lm-eval task {requests[0].task_name}: {max_new_tokens} new tokens do not fit the context of "
                f"{self.max_length}; lower max_gen_toks"
            )
        prompts = [
            tuple(self.tok_batch_encode([request.args[0]], left_truncate_len=room)[0][0].tolist())
            for request in requests
        ]
        is_finished = self._finish_test(until)
        texts = [""] * len(requests)
        prefixes = PrefixCache(self.model)
        for group in prefix_groups(prompts, group_cost=DECODING_GROUP_COST * max_new_tokens):
            rows = generate(
                self.model,
                [prompts[index] for index in group],
                max_new_tokens=max_new_tokens,
                end_token_id=self.eot_token_id,
                is_finished=is_finished,
                prefixes=prefixes,
            )
            for index, row in zip(group, rows, strict=True):
                texts[index] = postprocess_generated_text(self.tok_decode(list(row)), until, None)
                self.cache_hook.add_partial("generate_until", requests[index].args, texts[index])
        return texts

    def _finish_test(self, until: Sequence[str]) -> Callable[[list[int]], bool]:
        """Return the test whether new tokens hold a stop string (it may be a special token) or an end token."""
        stated = self.model.generation_config.eos_token_id
        ends = {stated} if isinstance(stated, int) else set(stated or ())
        tail = max(map(len, until)) + 8

        def is_finished(row: list[int]) -> bool:
            text = self.tok_decode(row[-tail:], skip_special_tokens=False)
            return row[-1] in ends or any(stop in text for stop in until)

        return is_finished

    def _decodes_plainly(self) -> bool:
        """Whether the model's own generation_config asks for nothing but greedy decoding (no penalties, no beams)."""
        settings = self.model.generation_config.to_diff_dict()
        return not {name for name, value in settings.items() if value is not None} - PLAIN_GENERATION


def register(*, cache: Path, notice: Callable[[str], None]) -> None:
    """Make ``--model spillover`` known to lm-eval.

    Args:
        cache: Where pulled models are kept.
        notice: Told licences and conversions, a line each.
    """
    import lm_eval.models  # noqa: F401 (registers the built-in models, which would vanish if ours came first)
    from lm_eval.api.registry import model_registry

    class NamedEngineLM(EngineLM):
        """The engine by ``--model_args``: ``base=...,adapter=...,dtype=...,pack_tokens=...``."""

        def __init__(self, base: str = "", **arguments: Any) -> None:
            model, tokenizer, options = _loaded(base, arguments, cache=cache, notice=notice)
            super().__init__(model, tokenizer, **options)

    if "spillover" not in model_registry:
        model_registry.register("spillover")(NamedEngineLM)


OPTIONS = ("max_length", "add_bos_token", "prefix_token_id", "pack_tokens")
IGNORED = ("batch_size", "max_batch_size")
"""lm-eval hands these to every model; the engine makes its own batches."""


def _loaded(
    base: str, arguments: dict[str, Any], *, cache: Path, notice: Callable[[str], None]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, dict[str, Any]]:
    from spillover.models.adapters import attach
    from spillover.models.load import load_model, preferred_device
    from spillover.models.precision import preferred_precision
    from spillover.models.resolve import resolve_model
    from spillover.models.tokenizer import load_tokenizer

    known = ("base", "adapter", "dtype", "device", *OPTIONS, *IGNORED)
    for name in arguments:
        if name not in known:
            raise unknown_name("model argument", name, known)
    if not base:
        raise UserError("--model_args: base is missing; give base=NAME (see `spillover models list`) or base=FOLDER")
    dtype = arguments.get("dtype", "auto")
    if dtype not in ("auto", "float32", "bfloat16"):
        raise UserError(f"--model_args: dtype={dtype} is unknown; expected float32, bfloat16 or auto")
    found = resolve_model(base, cache=cache, notice=notice)
    # lm-eval asks for cuda:0 unless told otherwise, and its own models then take what there is.
    device, best = str(arguments.get("device") or "cuda"), preferred_device()
    model = load_model(
        found.path,
        dtype=preferred_precision() if dtype == "auto" else dtype,
        device=best if device.startswith("cuda") and best != "cuda" else device,
    )
    if adapter := arguments.get("adapter"):
        attach(model, Path(adapter).expanduser())
        model.train(False)
    options = {name: arguments[name] for name in OPTIONS if name in arguments}
    return model, load_tokenizer(found.path), options

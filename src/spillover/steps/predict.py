"""The step that asks one model everything of one cell of a suite's task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.evaluation.choice import ScoringKind
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.demonstrations import choose
from spillover.prompts.encoding import Encoder, TokenIds
from spillover.prompts.template import Template, content_free_prompts, demonstrated_prompts, premise
from spillover.records import AskedItem, Cell, Example, FlipFloor
from spillover.steps.adoption import require_same_ids
from spillover.steps.cell_steps import Answered, AskCell
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop, machine
from spillover.store import files
from spillover.store.identity import digest
from spillover.tasks.prepare import PreparedTask, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell
    from spillover.models.loaded import LoadedModel

DECODE = 2
"""Tokens of packed passes that one decoded token costs, measured at 135M parameters on two cores."""


@dataclass(frozen=True)
class Predict(AskCell):
    """Ask one model everything of one cell of a suite's task."""

    kind: ClassVar[str] = "predict"
    version: ClassVar[int] = 2
    data: Prepare
    template: str
    cell: Cell
    test_limit: int
    protocol: Protocol
    precision: Precision
    priors: tuple[ScoringKind, ...] = ()
    """What is asked beside the examples: content-free prompts (``contextual``), the end of the prompt (``pmi``)."""
    checked_count: int = 0

    @property
    def context_length(self) -> int:
        """Tokens that base and variant can both read."""
        own = self.variant.context_length if self.variant else self.base.context_length
        return min(own, self.base.context_length)

    def fields(self) -> Mapping[str, Any]:
        task = self.data.task
        return {
            "base": self.base.fingerprint,
            **self.base.encoding_fields(),
            "template": self.template,
            "answers": task.answers,
            "generation": {"max_new_tokens": task.generation.max_new_tokens, "stop": task.generation.stop},
            "shots": self.cell.shots,
            "demonstration_seed": self.cell.demonstration_seed,
            "test_limit": self.test_limit,
            "priors": self.priors,
            "protocol": self.protocol,
            "precision": self.precision,
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"data": self.data} | ({"variant": self.variant} if self.variant else {})

    def work(self, workshop: Workshop) -> float:
        encoded, _ = self.encoded(workshop)
        card = encoded.card()
        own = sum(len(prompt) - card.shared_prefix_token_count for prompt in encoded.prompts)
        return card.shared_prefix_token_count + own + DECODE * decoded_token_count(encoded)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        decoded = decoded_token_count(self.encoded(workshop)[0])
        return speed.asked_token * (work - DECODE * decoded) + speed.decoded_token * decoded

    def encoded(self, workshop: Workshop) -> tuple[EncodedCell, dict[str, int]]:
        """Return the cell's token ids and the test rows dropped (reason to count), the same for every model."""
        name = (
            *("cell", self.data.key, self.template, self.cell, self.test_limit, self.protocol, self.priors),
            *(self.base.tokenizer_fingerprint, self.context_length),
        )
        encoded, dropped = workshop.kept(name, lambda: self._encode(workshop))
        own = self.own_encoder(workshop)
        if own is not workshop.encoder(self.base.path):
            workshop.kept((*name, own), lambda: require_same_ids(encoded, own, where=self.label))
        return encoded, dropped

    def _encode(self, workshop: Workshop) -> tuple[EncodedCell, dict[str, int]]:
        from spillover.evaluation.predict import Asked, encode_cell

        prepared, task = self.data.rows(workshop), self.data.task
        rows, dropped = self.data.tested_rows(workshop, self.protocol)
        examples = rows[: self.test_limit]
        shown, prompts = self.rendered(prepared, examples)
        template, generation = Template(self.template), task.generation
        asked = Asked(
            self.cell,
            examples,
            prompts,
            task.answers,
            generation.max_new_tokens,
            generation.stop,
            content_free_prompts(template, shown) if "contextual" in self.priors else (),
            premise(template) if "pmi" in self.priors else "",
        )
        dropped = dict(Counter(prepared.dropped) + Counter(dropped))
        encoder = workshop.encoder(self.base.path)
        return encode_cell(asked, encoder, context_length=self.context_length, dropped=dropped), dropped

    def rendered(
        self, prepared: PreparedTask, examples: Sequence[Example]
    ) -> tuple[tuple[Example, ...], tuple[str, ...]]:
        """Return the cell's demonstrations, and the prompt of each example behind them."""
        shown = choose(prepared.demonstrations, self.cell.shots, seed=self.cell.demonstration_seed)
        return shown, demonstrated_prompts(Template(self.template), shown, (example.fields for example in examples))

    def own_encoder(self, workshop: Workshop) -> Encoder:
        """Return the tokenizer that came with the model: its end token ends what the model writes."""
        return workshop.encoder(self.variant.tokenizer_path if self.variant else self.base.path)

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        from spillover.evaluation.exactness import flip_floor
        from spillover.evaluation.predict import Rows, predict
        from spillover.store.partial import PartialCell

        encoded, dropped = self.encoded(workshop)
        loaded = asked_model(self.base, self.variant, self.precision, workshop)
        # Rounding may differ between machines, and a cell's provenance names one: another one starts the cell anew.
        identity = digest(
            [encoded.prompts, encoded.choices, encoded.content_free, encoded.premise, workshop.device, machine()]
        )
        place = workshop.store.root / "checkpoints" / self.key
        partial = PartialCell(place, identity=identity, row_count=encoded.row_count)

        def keep(rows: Rows) -> None:
            partial.add(rows)
            told.advance(partial.share)

        known, encoder = dict(partial.rows), self.own_encoder(workshop)
        predictions = predict(loaded.model, encoded, encoder, loaded.prefixes, known=known, keep=keep)
        end, count = encoder.end_token_id, self.checked_count

        def compare(exact: PreTrainedModel) -> FlipFloor:
            return flip_floor(exact, encoded, predictions, end_token_id=end, item_count=count)

        if self.variant is None:  # every variant is asked the same
            files.write_prompt_ids(folder / files.PROMPT_IDS, encoded.prompts)
        self.write_answers(folder, Answered(predictions, encoded.card(), compare, dropped), loaded.model)
        partial.remove()

    def asked_items(self, workshop: Workshop) -> list[AskedItem]:
        prepared, store = self.data.rows(workshop), workshop.store
        examples = self.data.tested_rows(workshop, self.protocol)[0][: self.test_limit]
        _, prompts = self.rendered(prepared, examples)
        ids: Sequence[TokenIds | None] = [None] * len(examples)
        if files.PROMPT_IDS in store.manifest(self)["files"]:
            ids = files.read_prompt_ids(store.file(self, files.PROMPT_IDS))
        answers = self.data.task.answers
        return [
            AskedItem(example.id, prompt, example.target, example.options or answers, token_ids)
            for example, prompt, token_ids in zip(examples, prompts, ids, strict=True)
        ]


def decoded_token_count(cell: EncodedCell) -> float:
    """Return about how many tokens a cell will generate: answers end at half of their limit."""
    return 0 if cell.choices else len(cell.prompts) * cell.asked.max_new_tokens / 2


def asked_model(base: ResolvedModel, variant: Variant | None, precision: Precision, workshop: Workshop) -> LoadedModel:
    """Return the model a step asks, the base itself for None."""
    if variant is None:
        return workshop.model(base.path, weights=base.path, is_adapter=False, precision=precision)
    weights = variant.weights_folder(workshop.store)
    return workshop.model(
        weights if variant.stands_alone else base.path,
        weights=weights,
        is_adapter=variant.saves_adapter,
        precision=precision,
        check=lambda: variant.weights(workshop.store),
    )

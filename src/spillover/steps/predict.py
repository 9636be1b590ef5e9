"""The step that asks one model everything of one cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.evaluation.choice import ScoringKind
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.demonstrations import choose
from spillover.prompts.encoding import Encoder
from spillover.prompts.template import Template, content_free_prompts, demonstrated_prompts, premise
from spillover.records import BASE, Cell, Example, FlipFloor, Prediction, PromptCard
from spillover.steps.adoption import require_same_ids
from spillover.steps.outside import changed_model
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop, machine
from spillover.store import files
from spillover.store.identity import digest
from spillover.store.store import Store
from spillover.tasks.prepare import PreparedTask, Protocol, protocol_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell
    from spillover.models.loaded import LoadedModel

FACTS, PROMPT = "facts.json", "prompt.json"
DECODE = 2
"""Tokens of packed passes that one decoded token costs, measured at 135M parameters on two cores."""


@dataclass(frozen=True)
class Predict(Step):
    """Ask one model everything of one cell."""

    kind: ClassVar[str] = "predict"
    version: ClassVar[int] = 2
    base: ResolvedModel
    variant: Variant | None
    """None asks the base itself."""
    data: Prepare
    template: str
    cell: Cell
    test_limit: int
    protocol: Protocol
    precision: Precision
    priors: tuple[ScoringKind, ...] = ()
    """What is asked beside the examples: content-free prompts (``contextual``), the end of the prompt (``pmi``)."""
    checked_count: int = 0
    """Items that are also computed in exact arithmetic; changes no prediction, so it is not part of the key."""

    @property
    def model(self) -> str:
        """The id of the model that is asked."""
        return self.variant.variant if self.variant else BASE

    @property
    def context_length(self) -> int:
        """Tokens that base and variant can both read."""
        own = self.variant.context_length if self.variant else self.base.context_length
        return min(own, self.base.context_length)

    @property
    def label(self) -> str:
        return f"ask {self.model} {self.cell.tested_on} at {self.cell.shots} shots"

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

    def outside_fault(self, cache: Path) -> str | None:
        return self.variant.outside_fault(cache) if self.variant else changed_model(self.base, cache)

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
        rows, dropped = protocol_rows(prepared, split="test", protocol=self.protocol)
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
        from spillover.evaluation.predict import Rows, predict
        from spillover.steps.partial import PartialCell

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
        files.write_predictions(folder / files.PREDICTIONS, predictions)
        files.write_prompt(folder / PROMPT, encoded.card())
        if self.variant is None:  # every variant is asked the same
            files.write_prompt_ids(folder / files.PROMPT_IDS, encoded.prompts)
        facts: dict[str, object] = {"dropped": dropped, "item_count": len(predictions)}
        if self.checked_count and (floor := self._flip_floor(loaded.model, encoded, predictions, encoder)):
            facts["flip_floor"] = asdict(floor)
        files.write_json(folder / FACTS, facts)
        partial.remove()

    def _flip_floor(
        self, model: PreTrainedModel, cell: EncodedCell, predictions: Sequence[Prediction], encoder: Encoder
    ) -> FlipFloor | None:
        """Compare with exact arithmetic, where memory allows; in float32 more than rounding is a fault of ours."""
        from spillover.evaluation.exactness import check_exact, flip_floor
        from spillover.models.exact import in_float32

        exact = in_float32(model)
        if exact is None:
            return None
        end = encoder.end_token_id
        floor = flip_floor(exact, cell, predictions, end_token_id=end, item_count=self.checked_count)
        if self.precision == "float32":
            check_exact(floor, where=self.label)
        return floor

    def facts(self, store: Store) -> Mapping[str, Any]:
        """Return what is known of the finished cell: ``dropped``, ``item_count`` and perhaps ``flip_floor``."""
        return files.read_json(store.file(self, FACTS))  # type: ignore[no-any-return]

    def prompt(self, store: Store) -> PromptCard:
        """Return the rendered prompt of the finished cell."""
        return files.read_prompt(store.file(self, PROMPT))

    def answered(self, store: Store) -> list[Prediction]:
        """Return the finished cell's predictions."""
        return files.read_predictions(store.file(self, files.PREDICTIONS))


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

"""The step that asks one model everything of one cell of a suite's task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.evaluation.choice import ScoringKind
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.demonstrations import choose, with_random_targets, with_shuffled_targets
from spillover.prompts.encoding import Encoder, TokenIds
from spillover.prompts.receipts import Place, Receipt, corrupted, with_line
from spillover.prompts.template import Template, content_free_prompts, demonstrated_prompts, premise
from spillover.records import AskedItem, Cell, Example, FlipFloor
from spillover.steps.adoption import require_same_ids
from spillover.steps.cell_steps import Answered, AskCell
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.variant import Variant
from spillover.steps.verdicts import Shares, Verdicts
from spillover.steps.workshop import Workshop, machine
from spillover.store import files
from spillover.store.identity import digest
from spillover.tasks.ask import AS_PLAIN, Ask
from spillover.tasks.prepare import Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell
    from spillover.models.loaded import LoadedModel

DECODE = 2
"""Tokens of packed passes that one decoded token costs, measured at 135M parameters on two cores."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a cell's prompts are made of, the same for every model that is asked so."""

    shown: tuple[Example, ...]
    """Demonstrations."""
    shown_as: Template
    asked_as: Template
    """The template of the question."""
    questions: tuple[Mapping[str, str], ...]
    """What fills it, item by item."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompt of every item."""
        return demonstrated_prompts(self.asked_as, self.shown, self.questions, shown_as=self.shown_as)

    @property
    def content_free(self) -> tuple[str, ...]:
        """The prompt with nothing in its fields, nor in its receipt."""
        return content_free_prompts(self.asked_as, self.shown, shown_as=self.shown_as)


@dataclass(frozen=True)
class Predict(AskCell):
    """Ask one model everything of one cell of a suite's task, or its demonstrations."""

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
    ask: Ask = AS_PLAIN
    """What the cell's ask comes to at its shots, see `Ask.at`."""
    receipts: tuple[tuple[Place, Verdicts], ...] = ()
    """Whose verdicts stand where, in the places that the ask names."""
    rows: Place = "test"
    """Which rows are asked: the test, or all demonstrations, as who shows verdicts beside them needs."""

    @property
    def label(self) -> str:
        of = "" if self.rows == "test" else ", its demonstrations"
        return super().label + of

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
            **self._asked_otherwise(),
        }

    def _asked_otherwise(self) -> Mapping[str, Any]:
        """Return what is asked otherwise than plainly, and other rows than the test; nothing where nothing is."""
        found: dict[str, Any] = {} if self.rows == "test" else {"rows": self.rows}
        if self.ask != AS_PLAIN:
            found["ask"] = self.ask.decides()
        readings = {place: dict(verdicts.reading) for place, verdicts in self.receipts if verdicts.reading}
        return found | ({"readings": readings} if readings else {})

    def inputs(self) -> Mapping[str, Step]:
        read = {f"receipts of {place}": verdicts.step for place, verdicts in self.receipts}
        return {"data": self.data, **({"variant": self.variant} if self.variant else {}), **read}

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
        read = [verdicts.step for _, verdicts in self.receipts]
        name = (
            *("cell", self.data.key, self.template, self.cell, self.test_limit, self.protocol, self.priors),
            *(self.base.tokenizer_fingerprint, self.context_length, digest(self._asked_otherwise())),
            *((step.key, workshop.store.has(step)) for step in read),
        )
        encoded, dropped = workshop.kept(name, lambda: self._encode(workshop))
        own = self.own_encoder(workshop)
        if own is not workshop.encoder(self.base.path):
            workshop.kept((*name, own), lambda: require_same_ids(encoded, own, where=self.label))
        return encoded, dropped

    def _encode(self, workshop: Workshop) -> tuple[EncodedCell, dict[str, int]]:
        from spillover.evaluation.predict import Asked, encode_cell

        prepared, task = self.data.rows(workshop), self.data.task
        examples, dropped = self.examples(workshop)
        form, generation = self.form(workshop), task.generation
        asked = Asked(
            self.cell,
            examples,
            form.prompts,
            task.answers,
            generation.max_new_tokens,
            generation.stop,
            form.content_free if "contextual" in self.priors else (),
            premise(Template(self.template)) if "pmi" in self.priors else "",
        )
        dropped = dict(Counter(prepared.dropped) + Counter(dropped))
        encoder = workshop.encoder(self.base.path)
        return encode_cell(asked, encoder, context_length=self.context_length, dropped=dropped), dropped

    def examples(self, workshop: Workshop) -> tuple[tuple[Example, ...], Mapping[str, int]]:
        """Return the rows that are asked, and those of the test that are left out (reason to count)."""
        if self.rows == "demonstrations":
            return self.data.rows(workshop).demonstrations, {}
        rows, dropped = self.data.tested_rows(workshop, self.protocol)
        return rows[: self.test_limit], dropped

    def form(self, workshop: Workshop) -> Form:
        """Return what the prompts are made of: the slots of the ask, one after the other."""
        examples, answers = self.examples(workshop)[0], self.data.task.answers
        shown = self.demonstrations(workshop)
        labels, plain = self.ask.labels, Template(self.template)
        if labels.then == "shuffled":
            shown = with_shuffled_targets(shown, seed=labels.seed)
        elif labels.then == "random":
            shown = with_random_targets(shown, answers, seed=labels.seed)
        form = Form(shown, plain, plain, tuple(example.fields for example in examples))
        if self.ask.receipts is None:
            return form
        with_receipt = with_line(plain, self.ask.receipts.line)
        for place in self.ask.receipts.where:
            if place == "demonstrations":
                read = self.shown_receipts(place, shown, workshop)
                told = [replace(row, fields={**row.fields, **r.fields}) for row, r in zip(shown, read, strict=True)]
                form = replace(form, shown=tuple(told), shown_as=with_receipt)
            else:
                read = self.shown_receipts(place, examples, workshop)
                asked = [{**row.fields, **r.fields} for row, r in zip(examples, read, strict=True)]
                form = replace(form, asked_as=with_receipt, questions=tuple(asked))
        return form

    def own_receipts(self, place: Place, rows: Sequence[Example], workshop: Workshop) -> list[Receipt]:
        """Return what the classifier itself says of rows of a place; the longest answer before it is asked."""
        if not workshop.store.has(dict(self.receipts)[place].step):
            return [Receipt(max(self.data.task.answers, key=len), 1.0)] * len(rows)
        return self.shares(place, rows, workshop).receipts()

    def shares(self, place: Place, rows: Sequence[Example], workshop: Workshop) -> Shares:
        """Return how sure the classifier of a place is of each of the task's answers that it knows."""
        return dict(self.receipts)[place].shares(rows, workshop.store).within(self.data.task.answers)

    def demonstrations(self, workshop: Workshop) -> tuple[Example, ...]:
        """Return the rows that are shown, with their own labels."""
        return choose(self.data.rows(workshop).demonstrations, self.cell.shots, seed=self.cell.demonstration_seed)

    def shown_receipts(self, place: Place, rows: Sequence[Example], workshop: Workshop) -> list[Receipt]:
        """Return the receipts that are shown beside rows of a place."""
        own, receipts = self.own_receipts(place, rows, workshop), self.ask.receipts
        kind = receipts.corrupt.kind(place) if receipts else ""
        if not receipts or not kind:
            return own
        purpose = f"{self.data.task.name} {place} {self.cell.demonstration_seed}"
        return corrupted(own, kind, self.data.task.answers, seed=receipts.corrupt.seed, purpose=purpose)

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
        store, examples, prompts = workshop.store, self.examples(workshop)[0], self.form(workshop).prompts
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

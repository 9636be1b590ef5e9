"""The step that asks a model, after its answer beside a receipt, what the receipt had to do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.evaluation.choice import Scoring, chosen_answer, of_cell
from spillover.prompts.answers import cut
from spillover.questions.receipts.keys import About
from spillover.steps.predict import DECODE, Predict, asked_model
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store

SAID = "said.json"
STOP = "\n"
QUESTIONS: Mapping[About, str] = {
    "influence": "Influence of the classifier's prediction on this answer, from 0 to 1 in steps of 0.1:",
    "features": "The words of the input that decided this answer:",
    "example": "Number of the example above that mattered most for this answer, from 1 to {shots}:",
    "override": "Why this answer and not the classifier's prediction:",
}
"""In the line behind the answer. The classifier is called what the receipt's line calls it by default."""
MOST_TOKENS: Mapping[About, int] = {"influence": 6, "features": 16, "example": 4, "override": 48}


@dataclass(frozen=True, slots=True)
class SaidOf:
    """What a model said of one answer."""

    example_id: str
    answer: str
    """By batch scoring."""
    text: str


@dataclass(frozen=True)
class AskOfReceipt(Step):
    """Ask a model of each answer it gave beside a receipt; of overrides alone where it is asked why it overrode."""

    kind: ClassVar[str] = "ask-of-receipt"
    version: ClassVar[int] = 1
    asked: Predict
    about: About
    item_count: int
    """The first so many items, at most."""

    @property
    def label(self) -> str:
        return f"{self.asked.label}: {self.about}"

    def fields(self) -> Mapping[str, Any]:
        return {
            "question": QUESTIONS[self.about],
            "max_new_tokens": MOST_TOKENS[self.about],
            "stop": STOP,
            "overrides": self.about == "override",
            "items": self.item_count,
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"answers": self.asked, **self.asked.inputs()}

    def outside_fault(self, cache: Path) -> str | None:
        return self.asked.outside_fault(cache)

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return self.asked.memory_bytes(shapes)

    def _decoded(self, workshop: Workshop) -> float:
        """Return about how many tokens are generated: half of the most, of a tenth of the items where they override."""
        count = min(self.item_count, len(self.asked.examples(workshop)[0]))
        return count * MOST_TOKENS[self.about] / 2 * (0.1 if self.about == "override" else 1.0)

    def work(self, workshop: Workshop) -> float:
        count = len(self.asked.examples(workshop)[0])
        return self.asked.work(workshop) * min(1.0, self.item_count / count) + DECODE * self._decoded(workshop)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        decoded = self._decoded(workshop)
        return speed.asked_token * (work - DECODE * decoded) + speed.decoded_token * decoded

    def prompts(self, workshop: Workshop) -> list[tuple[str, str, str]]:
        """Return id, answer and prompt of every item that is asked; the answers are finished."""
        asked, given = self.asked, self.asked.answered(workshop.store)
        rule = of_cell(Scoring(answers=asked.data.task.answers, kind="batch"), given)
        answers = {row.example_id: chosen_answer(row, rule) for row in given}  # of what fits the model's context
        examples = asked.examples(workshop)[0]
        shown = asked.shown_receipts("test", examples, workshop)
        words = QUESTIONS[self.about].format(shots=asked.cell.shots)
        found = [
            (row.id, answer, f"{prompt}{answer}\n{words}")
            for row, prompt, receipt in zip(examples, asked.form(workshop).prompts, shown, strict=True)
            if (answer := answers.get(row.id)) and (answer != receipt.label or self.about != "override")
        ]
        return found[: self.item_count]

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        from spillover.evaluation.predict import holds
        from spillover.models.generation import generate_batches

        encoder, most = self.asked.own_encoder(workshop), MOST_TOKENS[self.about]
        every = self.prompts(workshop)
        ids = encoder.prompts([prompt for _, _, prompt in every])
        fits = [len(own) + most <= self.asked.context_length for own in ids]  # the question is behind what fitted
        items = [item for item, is_in in zip(every, fits, strict=True) if is_in]
        texts: dict[int, str] = {}
        if items:
            loaded = asked_model(self.asked.base, self.asked.variant, self.asked.precision, workshop)
            for batch in generate_batches(
                loaded.model,
                [own for own, is_in in zip(ids, fits, strict=True) if is_in],
                max_new_tokens=most,
                end_token_id=encoder.end_token_id,
                is_finished=holds(encoder, STOP),
                prefixes=loaded.prefixes,
            ):
                texts |= {index: cut(encoder.decode(ids), STOP) for index, ids in batch.items()}
                told.advance(len(texts) / len(items))
        said = [[name, answer, texts[index]] for index, (name, answer, _) in enumerate(items)]
        files.write_json(folder / SAID, said)

    def said(self, store: Store) -> Sequence[SaidOf]:
        """Return what the finished step's model said."""
        return [SaidOf(*row) for row in files.read_json(store.file(self, SAID))]

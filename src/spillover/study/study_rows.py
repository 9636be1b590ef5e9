"""Rows and token ids of a study's steps, read and encoded once and kept in memory; no model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from spillover.prompts.encoding import Encoder
from spillover.prompts.template import Template, content_free_prompts, premise
from spillover.records import Example
from spillover.study import files
from spillover.study.adoption import require_same_ids
from spillover.study.items import rendered_prompts
from spillover.study.mixed import mixed_rows, replayed_examples, replayed_rows
from spillover.study.step import Adopt, Finetune, Predict, Prepare
from spillover.study.store import Store
from spillover.study.validation import Held, Validate, validation_rows
from spillover.tasks.mixture import Mixture
from spillover.tasks.prepare import PreparedTask, prepare, protocol_rows, training_rows

if TYPE_CHECKING:
    from spillover.evaluation.predict import EncodedCell
    from spillover.training.constraints.constraint import Material
    from spillover.training.rows import TrainingRows
    from spillover.training.stages import MixedRows


class StudyRows:
    """Reads and encodes what steps ask and train on.

    Args:
        store: Where finished inputs are read from.
        notice: Called with what is worth saying on the way.
    """

    def __init__(self, store: Store, *, notice: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._notice = notice
        self._prepared: dict[str, PreparedTask] = {}
        self._encoded: dict[tuple[object, ...], tuple[EncodedCell, dict[str, int]]] = {}
        self._mixed: dict[str, MixedRows] = {}
        self._held: dict[tuple[str, ...], Held] = {}
        """Keys of arms to what they train on together."""
        self._encoders: dict[Path, Encoder] = {}
        self._compared: set[tuple[Encoder, tuple[object, ...]]] = set()
        """Tokenizers of variants' own, and cells of which each gives the base's token ids."""

    def prepared(self, step: Prepare) -> PreparedTask:
        """Return a task's rows: from memory, from the store, or read now."""
        if step.key not in self._prepared:
            if self._store.has(step.kind, step.key):
                self._prepared[step.key] = files.read_prepared(self._store.file(step.kind, step.key, files.ROWS))
            else:
                self._prepared[step.key] = prepare(step.suite, step.task, cache=step.cache, notice=self._notice)
        return self._prepared[step.key]

    def encoded_cell(self, step: Predict) -> tuple[EncodedCell, dict[str, int]]:
        """Return a cell's token ids and the test rows dropped (reason to count), the same for every model."""
        from spillover.evaluation.predict import Asked, encode_cell

        name = (
            step.data.key,
            step.template,
            step.cell,
            step.test_limit,
            step.protocol,
            step.priors,
            step.base.tokenizer_fingerprint,
            step.context_length,
        )
        if name not in self._encoded:
            prepared, task, cell = self.prepared(step.data), step.data.task, step.cell
            rows, dropped = protocol_rows(prepared, split="test", protocol=step.protocol)
            examples = rows[: step.test_limit]
            shown, prompts = rendered_prompts(step, prepared, examples)
            template, generation = Template(step.template), task.generation
            asked = Asked(
                cell,
                examples,
                prompts,
                task.answers,
                generation.max_new_tokens,
                generation.stop,
                content_free_prompts(template, shown) if "contextual" in step.priors else (),
                premise(template) if "pmi" in step.priors else "",
            )
            dropped = dict(Counter(prepared.dropped) + Counter(dropped))
            encoder = self._encoder(step.base.path)
            encoded = encode_cell(asked, encoder, context_length=step.context_length, dropped=dropped)
            self._encoded[name] = encoded, dropped
        encoded, dropped = self._encoded[name]
        own = self._own_encoder(step)
        if own is not self._encoder(step.base.path) and (own, name) not in self._compared:
            require_same_ids(encoded, own, where=step.label)
            self._compared.add((own, name))
        return encoded, dropped

    def training_rows(self, step: Finetune) -> tuple[TrainingRows, dict[str, int]]:
        """Return a variant's training rows as token ids, and the rows dropped (reason to count).

        Raises:
            UserError: If there are fewer rows than the variant's size asks for.
        """
        from spillover.training.rows import encode_rows

        if step.mixture:
            mixed = self._mixed_rows(step, step.mixture)
            return mixed, dict(mixed.dropped)
        prepared = self.prepared(step.data)
        selected = training_rows(prepared, step.size, seed=step.seed)
        rows, dropped = protocol_rows(prepared, split="train", protocol=step.protocol, rows=selected)
        encoded = encode_rows(
            self._encoder(step.base.path),
            Template(step.template),
            rows,
            step.recipe.demonstrations.chosen_from(prepared.demonstrations),
            step.settings,
            context_length=step.base.context_length,
        )
        return encoded, {**dropped, **encoded.dropped}

    def validation_rows(self, step: Validate) -> TrainingRows:
        """Return the rows that a contest of arms is decided on."""
        arms = {arm.key: arm for arm in step.arms}
        keys = tuple(sorted(arms))
        if keys not in self._held:
            self._held[keys] = Held.of(row for arm in arms.values() for row in self._reached(arm))
        return validation_rows(step, self.prepared, self._held[keys], self._encoder(step.variant.base.path))

    def _reached(self, step: Finetune) -> Iterator[Example]:
        """Yield every row among which a training takes its own, those it replays with them."""
        if step.mixture:
            yield from chain.from_iterable(self._mixed_rows(step, step.mixture).reached.values())
        else:
            yield from training_rows(self.prepared(step.data), step.size, seed=step.seed)
        for rows, _ in replayed_examples(step, self.prepared):
            yield from rows

    def _mixed_rows(self, step: Finetune, mixture: Mixture) -> MixedRows:
        if step.key not in self._mixed:
            self._mixed[step.key] = mixed_rows(step, mixture, self.prepared, self._encoder(step.base.path))
        return self._mixed[step.key]

    def _material(self, step: Finetune) -> Material:
        """Return the rows a recipe's constraint asks for besides the variant's own."""
        from spillover.training.constraints.constraint import Material
        from spillover.training.general_text import general_rows

        encoder = self._encoder(step.base.path)
        general = general_rows(encoder) if step.recipe.constraint.reads_general_text else ()
        return Material(general, replayed_rows(step, self.prepared, encoder))

    def _own_encoder(self, step: Predict) -> Encoder:
        """Return the tokenizer that came with the model a step asks: its end token ends what the model writes."""
        adopted = step.variant.adopted if isinstance(step.variant, Adopt) else None
        differs = adopted and adopted.tokenizer_fingerprint != step.base.tokenizer_fingerprint
        return self._encoder(adopted.path if adopted and differs else step.base.path)

    def _encoder(self, path: Path) -> Encoder:
        from spillover.models.load import load_tokenizer

        if path not in self._encoders:
            self._encoders[path] = Encoder(load_tokenizer(path))
        return self._encoders[path]

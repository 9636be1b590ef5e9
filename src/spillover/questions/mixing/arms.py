"""The arms of a study that mixes data: which variants they are, what they have seen, and how they compare."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spillover.questions.mixing.arm import QUESTION, ArmFacts
from spillover.records import BASE, FloatArray, StudyResults, VariantCard
from spillover.statistics.cells import ScoreKey, Scores
from spillover.statistics.contrasts import Contrast, Estimate, Term, estimate, minus
from spillover.statistics.means import is_share

GROUPED = ("alone", "target+general", "extra-steps")
"""Arms whose added tasks are part of the target itself: the broad targets of a factorial design."""
CONTROLS = ("alone", "extra-steps", "general-alone")
"""Arms that add nothing to the target."""


@dataclass(frozen=True, slots=True)
class GeneralText:
    """What training did to general text, mean over seeds: retention on a general probe (sheet cocktail, 4)."""

    loss: float
    """After training, nats per token."""
    rise: float
    """The same less the untouched base's: above zero is forgotten."""
    kl_to_base: float
    """From the base's next-token distribution, nats per token."""
    is_held_out: bool
    """False where the recipe itself reads this text, so that the numbers say nothing of other text."""


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One way of mixing, with its variants: one a training seed."""

    name: str
    target: str
    size: int
    """Training rows of the target."""
    kind: str
    """See `PlannedArm`; a plain variant on a target is ``alone``."""
    group: tuple[str, ...]
    """Tasks that make up the target together with it."""
    added: tuple[str, ...]
    left_out: str | None
    general: tuple[str, ...]
    mathematics: tuple[str, ...]
    budget: str
    order: str
    specialist_rows: int
    general_rows: int
    general_share: float | None
    """Part of the mixture that general data was asked to be; None where its rows were counted."""
    row_count: int
    """Rows trained on, repeated ones as often as they came."""
    coverage: float | None
    false_share: float | None
    validation_loss: float | None
    """Nats per target token on rows that no arm trains on and no cell tests, mean over seeds; None where any lacks."""
    general_text: GeneralText | None
    """None where the training of any seed was not watched, or weights were changed after it."""
    seen: tuple[str, ...]
    """Tasks it was trained on."""
    recipe: str
    """With the settings of the training: a target alone that was trained otherwise is no reference."""
    variants: Mapping[int, str]
    """Training seed to variant id."""

    @property
    def whole_target(self) -> str:
        """The target in words."""
        return " + ".join((self.target, *self.group))

    @property
    def target_rows(self) -> int:
        """Training rows of all tasks that make up the target."""
        return self.specialist_rows if self.kind in GROUPED else self.size

    @property
    def label(self) -> str:
        """What is added, in words."""
        if self.kind == "alone":
            return "nothing"
        if self.kind == "extra-steps":
            return "more steps on the target alone"
        if self.kind == "general-alone":
            return f"{' + '.join(self.general)} in place of the target"
        general = [f"{self.general_rows} rows of {' + '.join(self.general)}"] if self.general else []
        words = " + ".join((*self.added, *self.mathematics, *general)) or self.name
        return f"{words} in two stages" if self.order == "sequential" else words

    @property
    def setting(self) -> tuple[object, ...]:
        """What arms that are compared on one target have in common."""
        return (self.target, self.size, self.group, self.recipe)

    @property
    def content(self) -> tuple[object, ...]:
        """What the additive and the matched form of an arm have in common."""
        added = (self.added, self.general, self.general_share, self.mathematics)
        return (self.setting, self.kind, self.left_out, *added, self.order)


def facts(card: VariantCard) -> ArmFacts | None:
    """Return what a card keeps of its arm; None where it is neither an arm nor a mixture."""
    found = card.facts.get(QUESTION)
    return ArmFacts(**found) if found else None


def arms(results: StudyResults) -> tuple[Arm, ...]:
    """Return the arms in the study's order; empty where no variant has a mixture."""
    known = [(card, facts(card)) for card in results.variants]
    targets = {found.target for _, found in known if found}
    named: dict[tuple[str, str, int], list[tuple[VariantCard, ArmFacts]]] = {}
    for card, found in known:
        if found is None and card.trained_on in targets:
            rows = card.training.get("rows", card.size)
            found = ArmFacts(
                target=card.trained_on, kind="alone", specialist_rows=card.size, rows={card.trained_on: rows}
            )
        if found:
            named.setdefault((card.name, found.target, card.size), []).append((card, found))
    return tuple(_arm(own) for own in named.values())


def _arm(own: Sequence[tuple[VariantCard, ArmFacts]]) -> Arm:
    card, found = own[0]
    cards = [card for card, _ in own]
    return Arm(
        name=card.name,
        target=found.target,
        size=card.size,
        kind=found.kind,
        group=tuple(found.added) if found.kind in GROUPED else (),
        added=() if found.kind in GROUPED else tuple(found.added),
        left_out=found.left_out,
        general=tuple(found.general),
        mathematics=tuple(found.mathematics),
        budget=found.budget,
        order=found.order,
        specialist_rows=found.specialist_rows,
        general_rows=found.general_rows,
        general_share=found.general_share,
        row_count=sum(found.rows.values()),
        coverage=found.coverage,
        false_share=found.false_share,
        validation_loss=_validation_loss([of_seed for _, of_seed in own]),
        general_text=_general_text(cards),
        seen=tuple(task for task, count in found.rows.items() if count),
        recipe=json.dumps([card.recipe, card.training.get("settings")], sort_keys=True, default=str),
        variants={card.seed: card.id for card in cards},
    )


def _validation_loss(of_seeds: Sequence[ArmFacts]) -> float | None:
    losses = [found.validation["loss"] for found in of_seeds if found.validation]
    return sum(losses) / len(losses) if len(losses) == len(of_seeds) else None


def _general_text(cards: Sequence[VariantCard]) -> GeneralText | None:
    watched = [card.training.get("forgetting") for card in cards if "afterwards" not in card.recipe]
    looks = [(own[0], own[-1]) for own in watched if own]
    if len(looks) < len(cards):
        return None
    losses = [float(last["general_loss"]) for _, last in looks]
    rises = [float(last["general_loss"] - first["general_loss"]) for first, last in looks]
    return GeneralText(
        loss=sum(losses) / len(losses),
        rise=sum(rises) / len(rises),
        kl_to_base=sum(float(last["kl_to_base"]) for _, last in looks) / len(looks),
        is_held_out=not any(card.training["reads_general_text"] for card in cards),
    )


class ArmScores:
    """The scores of arms, and their differences by training seed."""

    def __init__(self, results: StudyResults, scores: Scores, found: Sequence[Arm], *, level: float) -> None:
        self.arms = tuple(found)
        self.level = level
        self.tasks = {task.name: task for task in results.tasks}
        self._scores = scores
        self._keys: dict[tuple[str, str, str], list[ScoreKey]] = {}
        for key in scores:
            self._keys.setdefault((key.variant, key.cell.tested_on, key.metric), []).append(key)
        self._counted = {task.name for task in results.tasks if is_share(task, results)}

    def alone(self, arm: Arm) -> Arm | None:
        """Return the arm that was trained on the same target rows and nothing else."""
        return next((other for other in self.arms if other.kind == "alone" and other.setting == arm.setting), None)

    def probes(self, arm: Arm) -> tuple[str, ...]:
        """Return the tested tasks that no arm of the target has seen: the same for all that are compared."""
        seen = {task for other in self.arms if other.target == arm.target for task in other.seen}
        return tuple(task for task in self.tasks if task in self._counted and task not in seen)

    def keys(self, variant: str, tasks: Iterable[str], metric: str | None = None) -> list[ScoreKey]:
        """Return a variant's scores on tasks, in their primary metrics where these enter means; or in ``metric``."""
        return [
            key
            for task in tasks
            if task in self.tasks and (metric or task in self._counted)
            for key in self._keys.get((variant, task, metric or self.tasks[task].primary_metric), ())
        ]

    def contrasts(self, arm: Arm, other: Arm | None, tasks: Iterable[str], metric: str | None = None) -> list[Contrast]:
        """Return the arm less another of the same seed, less the base for None, one contrast a seed and cell."""
        names, found = list(tasks), []
        for seed, variant in arm.variants.items():
            reference = BASE if other is None else other.variants.get(seed)
            if reference is not None:
                found += [
                    minus([key], [key._replace(variant=reference)])
                    for key in self.keys(variant, names, metric)
                    if key._replace(variant=reference) in self._scores
                ]
        return found

    def mean(self, contrasts: Sequence[Contrast], *, level: float | None = None) -> Estimate | None:
        """Return the mean of contrasts with its interval; None over nothing."""
        return estimate(contrasts, self._scores, level=level or self.level) if contrasts else None

    def less(self, arm: Arm, other: Arm | None, tasks: Iterable[str], *, level: float | None = None) -> Estimate | None:
        """Return the mean of `contrasts`."""
        return self.mean(self.contrasts(arm, other, tasks), level=level)

    def score(self, arm: Arm, task: str, metric: str | None = None) -> Estimate | None:
        """Return the mean over seeds and cells of a task."""
        keys = [key for variant in arm.variants.values() for key in self.keys(variant, [task], metric)]
        return self.mean([(Term(1.0, (key,)),) for key in keys])

    def base(self, task: str, metric: str | None = None) -> Estimate | None:
        """Return the base's mean over the cells of a task."""
        return self.mean([(Term(1.0, (key,)),) for key in self.keys(BASE, [task], metric)])

    def value(self, key: ScoreKey) -> float:
        """Return a score over all items."""
        return self._scores[key].value

    def unit_count(self, arm: Arm, task: str) -> int:
        """Return the independent items of a task that an arm was tested on."""
        return min(
            self._scores[key].unit_count for variant in arm.variants.values() for key in self.keys(variant, [task])
        )

    def values(self, arm: Arm, task: str) -> FloatArray | None:
        """Return the mean over seeds and cells ``(1 + resample_count,)``, over all items first; None over nothing."""
        keys = [key for variant in arm.variants.values() for key in self.keys(variant, [task])]
        if not keys:
            return None
        rows = [np.concatenate([[self._scores[key].value], self._scores[key].replicates]) for key in keys]
        return np.asarray(np.mean(rows, axis=0), dtype=np.float64)

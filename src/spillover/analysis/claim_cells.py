"""Which cells of a study each claim of the generalization paper is about."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from spillover.analysis.cells import ScoreKey, Scores, cells_of
from spillover.analysis.contrasts import Contrast, minus
from spillover.analysis.means import is_share
from spillover.records import BASE, Relation, StudyResults, TaskCard, VariantCard


@dataclass(slots=True)
class Mean:
    """Contrasts whose mean a claim makes a statement about, each with its words."""

    contrasts: list[Contrast] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def add(self, contrast: Contrast, words: str) -> None:
        """Take one more contrast into the mean."""
        self.contrasts.append(contrast)
        self.words.append(words)

    def less(self, other: "Mean") -> "Mean":
        """Return this mean less another, as a mean over the contrasts of both; nothing where either is empty."""
        parts = [(1.0, self), (-1.0, other)] if self.contrasts and other.contrasts else []
        count, found = len(self.contrasts) + len(other.contrasts), Mean()
        for sign, mean in parts:
            factor = sign * count / len(mean.contrasts)
            for contrast, words in zip(mean.contrasts, mean.words, strict=True):
                found.add(tuple(replace(term, weight=factor * term.weight) for term in contrast), words)
        return found


class ClaimCells:
    """The cells of a study as the claims need them."""

    def __init__(self, results: StudyResults, scores: Scores) -> None:
        self._scores = scores
        self._relations = results.relations
        self._tasks = [task for task in results.tasks if is_share(task, results)]
        families = {task.name: task for task in results.tasks}
        self.plain = [card for card in results.variants if is_plain(card.recipe) and card.trained_on in families]
        self.with_demonstrations = [
            card for card in results.variants if is_fticl(card.recipe) and card.trained_on in families
        ]
        self._trained = families

    def tuned_less_base_best(self, wanted: Callable[[TaskCard], bool]) -> Mean:
        """Return plain variants at 0 shots less the best of the base over shots, in-domain."""
        mean = Mean()
        for card, task, keys in self._asked(self.plain, (Relation.IN_DOMAIN,)):
            zero = [key for key in keys if key.cell.shots == 0]
            if zero and wanted(task):
                mean.add(minus(zero, _base(keys)), f"{card.id} on {task.name}")
        return mean

    def base_gain(self) -> Mean:
        """Return the base's score at the most shots less that at 0 shots."""
        mean = Mean()
        for task in self._tasks:
            for keys in _by_form(self._keys(BASE, task)):
                zero, shown = _split(keys)
                if zero and shown:
                    mean.add(minus(shown[-1:], zero), f"{task.name} at {shown[-1].cell.shots} shots")
        return mean

    def gain_less_base(self) -> Mean:
        """Return what plain variants gain from the most shots less what the base gains, in-domain."""
        mean = Mean()
        for card, task, keys in self._asked(self.plain, (Relation.IN_DOMAIN,)):
            zero, shown = _split(keys)
            if zero and shown:
                own, base = minus(shown[-1:], zero), minus(_base(zero), _base(shown[-1:]))
                mean.add((*own, *base), f"{card.id} on {task.name} at {shown[-1].cell.shots} shots")
        return mean

    def last_size_gain(self) -> Mean:
        """Return the in-domain scores at the largest training size less those at the size before."""
        mean = Mean()
        groups: dict[tuple[str, str, int], list[VariantCard]] = {}
        for card in self.plain:
            groups.setdefault((card.name, card.trained_on, card.seed), []).append(card)
        for cards in groups.values():
            ordered = sorted(cards, key=lambda card: card.size)
            if len(ordered) < 2:
                continue
            smaller, largest = list(pairwise(ordered))[-1]
            for _, task, keys in self._asked([largest], (Relation.IN_DOMAIN,)):
                for key in keys:
                    before = key._replace(variant=smaller.id)
                    mean.add(minus([key], [before]), f"{largest.id} on {task.name} at {key.cell.shots} shots")
        return mean

    def best_out_of_domain(self, is_classification: bool) -> Mean:
        """Return the best over shots less the base's best, out of domain."""
        mean = Mean()
        for card, task, keys in self._asked(self._trained_on(self.plain, is_classification), (Relation.OUT_OF_DOMAIN,)):
            mean.add(minus(keys, _base(keys)), f"{card.id} on {task.name}")
        return mean

    def cross(self, from_classification: bool, to_classification: bool) -> Mean:
        """Return plain variants less the base across tasks, from one kind of task to one kind of task."""
        mean = Mean()
        cards = self._trained_on(self.plain, from_classification)
        for card, task, keys in self._asked(cards, (Relation.CROSS_TASK,)):
            if _is_classification(task) == to_classification:
                for key in keys:
                    mean.add(minus([key], _base([key])), f"{card.id} on {task.name} at {key.cell.shots} shots")
        return mean

    def form_gain(self, is_classification: bool) -> Mean:
        """Return what form 2 of the prompt adds to form 1 across tasks, less what it adds to the base."""
        mean = Mean()
        for card in self._trained_on(self.plain, is_classification):
            for task in self._tasks:
                if self._relations.get((card.id, task.name)) != Relation.CROSS_TASK:
                    continue
                keys = {key.cell: key for key in self._keys(card.id, task)}
                for key in keys.values():
                    other = keys.get(_in_form_two(key).cell)
                    if key.cell.prompt_form == 1 and other:
                        own, base = minus([other], [key]), minus(_base([key]), _base([other]))
                        mean.add((*own, *base), f"{card.id} on {task.name} at {key.cell.shots} shots")
        return mean

    def fticl(self, from_classification: bool, where: Sequence[Relation], *, only_generation: bool = False) -> Mean:
        """Return FTICL variants less the plain ones of the same rows."""
        mean = Mean()
        for card, plain in self.pairs():
            if _is_classification(self._trained[card.trained_on]) != from_classification:
                continue
            for _, task, keys in self._asked([card], where):
                if only_generation and _is_classification(task):
                    continue
                for key in keys:
                    contrast = minus([key], [key._replace(variant=plain.id)])
                    mean.add(contrast, f"{card.id} less {plain.name} on {task.name} at {key.cell.shots} shots")
        return mean

    def fticl_less_base(self, from_classification: bool, where: Sequence[Relation]) -> Mean:
        """Return FTICL variants less the base."""
        mean = Mean()
        for card, task, keys in self._asked(self._trained_on(self.with_demonstrations, from_classification), where):
            for key in keys:
                mean.add(minus([key], _base([key])), f"{card.id} on {task.name} at {key.cell.shots} shots")
        return mean

    def pairs(self) -> list[tuple[VariantCard, VariantCard]]:
        """Return every FTICL variant with the plain one of the same rows."""
        return [
            (card, plain)
            for card in self.with_demonstrations
            for plain in self.plain
            if (card.trained_on, card.size, card.seed) == (plain.trained_on, plain.size, plain.seed)
        ]

    def _trained_on(self, cards: Iterable[VariantCard], is_classification: bool) -> list[VariantCard]:
        return [card for card in cards if _is_classification(self._trained[card.trained_on]) == is_classification]

    def _asked(
        self, cards: Iterable[VariantCard], where: Sequence[Relation]
    ) -> Iterator[tuple[VariantCard, TaskCard, list[ScoreKey]]]:
        """Yield the scores of each variant on each task of a relation in form 1, a list per demonstration seed."""
        for card in cards:
            for task in self._tasks:
                if self._relations.get((card.id, task.name)) in where:
                    for keys in _by_form(self._keys(card.id, task)):
                        yield card, task, keys

    def _keys(self, model: str, task: TaskCard) -> list[ScoreKey]:
        return [ScoreKey(model, cell, task.primary_metric) for cell in cells_of(self._scores, model, task)]


def is_plain(recipe: Mapping[str, Any]) -> bool:
    """Whether a resolved recipe is fine-tuning with nothing added."""
    return _demonstration_count(recipe) == 0 and set(recipe) <= {"demonstrations"}


def is_fticl(recipe: Mapping[str, Any]) -> bool:
    """Whether a resolved recipe adds demonstrations to every training row, and nothing else."""
    return _demonstration_count(recipe) > 0 and set(recipe) <= {"demonstrations"}


def _demonstration_count(recipe: Mapping[str, Any]) -> int:
    return int((recipe.get("demonstrations") or {}).get("count", 0))


def _is_classification(task: TaskCard) -> bool:
    return task.chance_accuracy is not None or bool(task.answers)


def _base(keys: Sequence[ScoreKey]) -> list[ScoreKey]:
    return [key._replace(variant=BASE) for key in keys]


def _by_form(keys: Sequence[ScoreKey]) -> list[list[ScoreKey]]:
    """Return the scores in form 1, a list per demonstration seed, shots rising; 0 shots stand in every list."""
    first = [key for key in keys if key.cell.prompt_form == 1]
    seeds = sorted({key.cell.demonstration_seed for key in first if key.cell.shots}) or [0]
    return [
        sorted(
            (key for key in first if key.cell.shots == 0 or key.cell.demonstration_seed == seed),
            key=lambda key: key.cell.shots,
        )
        for seed in seeds
    ]


def _split(keys: Sequence[ScoreKey]) -> tuple[list[ScoreKey], list[ScoreKey]]:
    """Return the scores without and with demonstrations."""
    return [key for key in keys if key.cell.shots == 0], [key for key in keys if key.cell.shots]


def _in_form_two(key: ScoreKey) -> ScoreKey:
    cell = key.cell
    return key._replace(cell=type(cell)(cell.tested_on, 2, cell.shots, cell.demonstration_seed))

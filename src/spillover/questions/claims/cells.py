"""Which cells of a study each claim of the generalization paper is about, per kind of metric."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from spillover.analysis.counterpart import counterpart_without_demonstrations, is_fticl, is_plain
from spillover.records import BASE, Relation, StudyResults, TaskCard, VariantCard
from spillover.statistics.cells import ScoreKey, Scores, cells_of
from spillover.statistics.contrasts import Contrast, Term, minus
from spillover.statistics.means import is_share

LABEL_SHARE = "label_share"
SENTIMENT = "sentiment"


@dataclass(slots=True)
class Mean:
    """Contrasts whose mean a claim makes a statement about, each with its words."""

    contrasts: list[Contrast] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def add(self, contrast: Contrast, words: str) -> None:
        """Take one more contrast into the mean."""
        self.contrasts.append(contrast)
        self.words.append(words)


Means = dict[str, Mean]
"""Kind of metric to its mean; scores of two kinds have none."""


class ClaimCells:
    """The cells of a study as the claims need them.

    Across tasks, text is asked for behind at least one demonstration, as in the paper: without any nobody could tell
    what is wanted (sheet genpower, 2.5).
    """

    def __init__(self, results: StudyResults, scores: Scores) -> None:
        self._results = results
        self._scores = scores
        self._tasks = [task for task in results.tasks if is_share(task, results)]
        self._tested = {task.name: task for task in results.tasks}
        self.plain = [card for card in results.variants if is_plain(card)]
        self.with_demonstrations = [card for card in results.variants if is_fticl(card)]

    def tuned_less_base_best(self, wanted: Callable[[TaskCard], bool]) -> Means:
        """Return plain variants at 0 shots less the best of the base over shots, in-domain."""
        means: Means = {}
        for card, task, keys in self._asked(self.plain, (Relation.IN_DOMAIN,)):
            zero = [key for key in keys if key.cell.shots == 0]
            if zero and wanted(task):
                self._add(means, task, minus(zero, _base(keys)), f"{card.id} on {task.name}")
        return means

    def base_gain(self) -> Means:
        """Return the base's score at the most shots less that at 0 shots."""
        means: Means = {}
        for task in self._tasks:
            for keys in _by_form(self._keys(BASE, task)):
                self._add_gain(means, task, keys, task.name)
        return means

    def tuned_gain(self) -> Means:
        """Return what plain variants gain from the most shots, in-domain."""
        means: Means = {}
        for card, task, keys in self._asked(self.plain, (Relation.IN_DOMAIN,)):
            self._add_gain(means, task, keys, f"{card.id} on {task.name}")
        return means

    def size_steps(self) -> list[Mean]:
        """Return what each step from one training size to the next gains in-domain, one mean a step and kind."""
        steps: dict[tuple[str, str, int, int], Means] = {}
        groups: dict[tuple[str, str, int], list[VariantCard]] = {}
        for card in self.plain:
            groups.setdefault((card.name, card.trained_on, card.seed), []).append(card)
        for cards in groups.values():
            for smaller, larger in pairwise(sorted(cards, key=lambda card: card.size)):
                means = steps.setdefault((larger.name, larger.trained_on, smaller.size, larger.size), {})
                for _, tested, keys in self._asked([larger], (Relation.IN_DOMAIN,)):
                    for key in keys:
                        words = f"{larger.id} less {smaller.size} rows on {tested.name} at {key.cell.shots} shots"
                        self._add(means, tested, minus([key], [key._replace(variant=smaller.id)]), words)
        return [mean for means in steps.values() for mean in means.values()]

    def best_out_of_domain(self, of_classification: bool, wanted: Callable[[TaskCard], bool]) -> Means:
        """Return the best over shots less the base's best, out of domain."""
        means: Means = {}
        for card, task, keys in self._asked(self._trained_on(self.plain, of_classification), (Relation.OUT_OF_DOMAIN,)):
            if wanted(task):
                self._add(means, task, minus(keys, _base(keys)), f"{card.id} on {task.name}")
        return means

    def cross(self, from_classification: bool, to_classification: bool) -> Means:
        """Return plain variants less the base across tasks, from one kind of task to one kind of task."""
        means: Means = {}
        for card, task, key in self._across(from_classification, to_classification):
            self._add(means, task, minus([key], _base([key])), _asked_words(card, key))
        return means

    def cross_scores(self, *, of_label_words: bool) -> Means:
        """Return what plain variants of classification score on text across tasks, or how often it is a label word."""
        means: Means = {}
        for card, _, key in self._across(True, False):
            own = key._replace(metric=LABEL_SHARE) if of_label_words else key
            if own in self._scores:
                kind = self._results.metrics[own.metric].kind
                means.setdefault(kind, Mean()).add((Term(1.0, (own,)),), _asked_words(card, key))
        return means

    def form_gain(self) -> Means:
        """Return what form 2 of the prompt adds to form 1 across tasks, less what it adds to the base, of variants
        trained on classification.
        """
        means: Means = {}
        for (task, key), gains in self._form_gains(True).items():
            for card, contrast in gains:
                self._add(means, self._tested[task], contrast, _asked_words(card, key))
        return means

    def form_gain_less_generation(self) -> Means:
        """Return the same less that of variants trained on generation, of the same seed in the same cell."""
        means: Means = {}
        one, other = self._form_gains(True), self._form_gains(False)
        for where in one:
            task, key = where
            for seed in sorted({card.seed for card, _ in one[where]} & {card.seed for card, _ in other.get(where, [])}):
                sides = [[gain for card, gain in gains if card.seed == seed] for gains in (one[where], other[where])]
                contrast = tuple(
                    replace(term, weight=sign * term.weight / len(side))
                    for sign, side in zip((1, -1), sides, strict=True)
                    for gain in side
                    for term in gain
                )
                words = f"seed {seed} on {task} at {key.cell.shots} shots"
                self._add(means, self._tested[task], contrast, words)
        return means

    def fticl(self, from_classification: bool, where: Sequence[Relation], *, only_generation: bool = False) -> Means:
        """Return FTICL variants less their plain counterparts."""
        means: Means = {}
        for card in self._trained_on(self.with_demonstrations, from_classification):
            plain = counterpart_without_demonstrations(card, self.plain)
            for _, task, keys in self._asked([card] if plain else [], where):
                for key in keys if not (only_generation and is_classification(task)) else []:
                    assert plain is not None
                    contrast = minus([key], [key._replace(variant=plain.id)])
                    self._add(means, task, contrast, f"{_asked_words(card, key)} less {plain.name}")
        return means

    def fticl_less_base(self, from_classification: bool, where: Sequence[Relation]) -> Means:
        """Return FTICL variants less the base."""
        means: Means = {}
        for card, task, keys in self._asked(self._trained_on(self.with_demonstrations, from_classification), where):
            for key in keys:
                self._add(means, task, minus([key], _base([key])), _asked_words(card, key))
        return means

    def _add(self, means: Means, task: TaskCard, contrast: Contrast, words: str) -> None:
        means.setdefault(self._results.metrics[task.primary_metric].kind, Mean()).add(contrast, words)

    def _add_gain(self, means: Means, task: TaskCard, keys: Sequence[ScoreKey], words: str) -> None:
        zero, shown = [key for key in keys if key.cell.shots == 0], [key for key in keys if key.cell.shots]
        if zero and shown:
            most = shown[-1]
            self._add(means, task, minus([most], zero), f"{words} at {most.cell.shots} shots")

    def _form_gains(self, of_classification: bool) -> dict[tuple[str, ScoreKey], list[tuple[VariantCard, Contrast]]]:
        """Return by task and cell, with the base's score in form 1 as its key, what form 2 adds to each variant."""
        found: dict[tuple[str, ScoreKey], list[tuple[VariantCard, Contrast]]] = {}
        for card in self._trained_on(self.plain, of_classification):
            for task in self._related(card, (Relation.CROSS_TASK,)):
                keys = [key for key in self._keys(card.id, task) if _is_told(task, key, Relation.CROSS_TASK)]
                for key in keys:
                    other = _in_form_two(key)
                    if key.cell.prompt_form == 1 and other in keys:
                        (base,) = _base([key])
                        gain = (*minus([other], [key]), *minus([base], _base([other])))
                        found.setdefault((task.name, base), []).append((card, gain))
        return found

    def _across(
        self, from_classification: bool, to_classification: bool
    ) -> Iterator[tuple[VariantCard, TaskCard, ScoreKey]]:
        cards = self._trained_on(self.plain, from_classification)
        for card, task, keys in self._asked(cards, (Relation.CROSS_TASK,)):
            if is_classification(task) == to_classification:
                for key in keys:
                    yield card, task, key

    def _trained_on(self, cards: Iterable[VariantCard], of_classification: bool) -> list[VariantCard]:
        return [card for card in cards if self._is_of_classification(card) == of_classification]

    def _is_of_classification(self, card: VariantCard) -> bool | None:
        """Whether a variant was trained on choices; None where neither it nor a tested task tells."""
        task = self._tested.get(card.trained_on)
        return is_classification(task) if card.is_classification is None and task else card.is_classification

    def _related(self, card: VariantCard, where: Sequence[Relation]) -> list[TaskCard]:
        relations = self._results.relations
        return [task for task in self._tasks if relations.get((card.id, task.name)) in where]

    def _asked(
        self, cards: Iterable[VariantCard], where: Sequence[Relation]
    ) -> Iterator[tuple[VariantCard, TaskCard, list[ScoreKey]]]:
        """Yield the scores of each variant on each task of a relation in form 1, a list per demonstration seed."""
        for card in cards:
            for task in self._related(card, where):
                relation = self._results.relations[card.id, task.name]
                for keys in _by_form(self._keys(card.id, task)):
                    told = [key for key in keys if _is_told(task, key, relation)]
                    if told:
                        yield card, task, told

    def _keys(self, model: str, task: TaskCard) -> list[ScoreKey]:
        return [ScoreKey(model, cell, task.primary_metric) for cell in cells_of(self._scores, model, task)]


def is_classification(task: TaskCard) -> bool:
    """Whether a task asks for one of several answers."""
    return task.chance_accuracy is not None or bool(task.answers)


def is_sentiment(task: TaskCard) -> bool:
    """Whether a task belongs to the family on which the paper finds other things."""
    return task.family == SENTIMENT


def is_not_sentiment(task: TaskCard) -> bool:
    """Whether a task belongs to another family."""
    return not is_sentiment(task)


def _is_told(task: TaskCard, key: ScoreKey, relation: Relation) -> bool:
    return relation != Relation.CROSS_TASK or is_classification(task) or key.cell.shots > 0


def _asked_words(card: VariantCard, key: ScoreKey) -> str:
    return f"{card.id} on {key.cell.tested_on} at {key.cell.shots} shots"


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


def _in_form_two(key: ScoreKey) -> ScoreKey:
    cell = key.cell
    return key._replace(cell=replace(cell, prompt_form=2))

"""Choice tasks made of drawn or given scores, as they are read of a study, and results that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spillover.questions.convergence.finding import Collected
from spillover.questions.convergence.reading import SCORINGS, Answers, ChoiceTask
from spillover.questions.convergence.scores import Recipe, recipe_on
from spillover.records import BASE, StudyResults
from tests.report.made_results import made_results

TUNED = "sft/siqa/128/0"


def answers(right: Sequence[bool] | np.ndarray, *, generator: np.random.Generator | None = None) -> Answers:
    """Return one cell's answers: where an item is right its target has the larger share, and noise where asked for."""
    hits = np.asarray(right, dtype=bool)
    gold = np.where(hits, -0.2, -1.5)
    if generator is not None:
        gold = gold + generator.normal(size=len(hits)) * 0.1
    return Answers(hits[None], gold[None], 0.5)


def made_task(
    name: str,
    family: str,
    right: Mapping[tuple[str, int], Sequence[bool] | np.ndarray],
    *,
    chance: float = 0.5,
    classes: Sequence[int] | None = None,
) -> ChoiceTask:
    """Return a task of which each (model, shots) is right on the items given, under both scorings."""
    count = len(next(iter(right.values())))
    found = {(model, shots, scoring): answers(hits) for (model, shots), hits in right.items() for scoring in SCORINGS}
    ids = tuple(f"{name}/{place}" for place in range(count))
    of_items = np.zeros(count, dtype=np.intp) if classes is None else np.array(classes, dtype=np.intp)
    return ChoiceTask(name, family, ids, of_items, chance, found)


def task_of_scores(
    name: str, family: str, scores: Mapping[tuple[str, int], float], *, items: int = 100, seed: int | None = None
) -> ChoiceTask:
    """Return a task of two answers with these chance-normalised scores: exact to an item, or drawn with a seed."""
    generator = None if seed is None else np.random.default_rng(seed)
    right = {}
    for key, score in scores.items():
        share = min(1.0, max(0.0, 0.5 + score / 2))
        right[key] = np.arange(items) < round(share * items) if generator is None else generator.random(items) < share
    return made_task(name, family, right)


def recipe_of(tasks: Sequence[ChoiceTask], *, variants: Sequence[str] = (TUNED,), **options: object) -> Recipe:
    """Return a recipe on tasks whose items share no sources."""
    seen = options.get("seen")
    assert seen is None or isinstance(seen, frozenset)
    return recipe_on("sft", variants, str(options.get("scoring", "batch")), tasks, made_results(), seen=seen)


def family_and_noise(
    seed: int, *, families: int = 10, each: int = 3, items: int = 100, deviation: float = 0.2
) -> list[ChoiceTask]:
    """Return tasks whose families alone decide what base and tuned model score, but for noise of their own."""
    generator = np.random.default_rng(seed)
    tasks = []
    for family in range(families):
        level = generator.uniform(0.1, 0.8)
        for place in range(each):
            zero, shots, tuned = level + deviation * generator.normal(size=3)
            scores = {(BASE, 0): zero, (BASE, 4): shots, (TUNED, 0): tuned}
            drawn = int(generator.integers(2**32))
            tasks.append(task_of_scores(f"task {family}.{place}", f"family {family}", scores, items=items, seed=drawn))
    return tasks


def made_with_convergence() -> StudyResults:
    """Return the made study with 30 choice tasks that base and variants answered."""
    tasks = family_and_noise(1)
    others = ["fticl/siqa/128/0", "sft/amazon/128/0"]
    widened = [
        replace(
            task,
            answers={
                **task.answers,
                **{(other, 0, scoring): task.answers[BASE, 4, scoring] for other in others for scoring in SCORINGS},
            },
        )
        for task in tasks
    ]
    families = {TUNED: frozenset({"family 0", "family 1"})}
    return replace(made_results(), collected={"convergence": Collected(tuple(widened), families, {})})

"""Studies of mixtures whose scores are written out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from spillover.questions.mixing.arm import QUESTION, ArmFacts
from spillover.questions.mixing.mixing import Mixing, mixing
from spillover.records import BASE, CellScores, MetricCard, Relation, StudyResults, TaskCard, VariantCard
from spillover.statistics.cells import resample_scores
from tests.analysis.made_scores import METRICS, cell_scores, share, task

Values = Sequence[float]


@dataclass(frozen=True)
class MadeArm:
    """An arm of the target ``home``, if not said otherwise, and its score per item on each tested task."""

    name: str
    kind: str
    scores: Mapping[str, Values]
    facts: Mapping[str, Any] = field(default_factory=dict)
    target: str = "home"
    size: int = 8
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> VariantCard:
        rows = {self.target: self.size, **dict.fromkeys(self.facts.get("added", ()), self.size)}
        facts = ArmFacts(
            **{"target": self.target, "kind": self.kind, "rows": rows, "coverage": 1.0, "specialist_rows": self.size}
            | self.facts
        )
        name = f"{self.name}/{self.target}/{self.size}/{self.seed}"
        return VariantCard(
            id=name,
            name=self.name,
            trained_on=self.target,
            size=self.size,
            seed=self.seed,
            recipe={},
            training=self.training,
            facts={QUESTION: asdict(facts)},
        )


def validated(arm: MadeArm, loss: float) -> MadeArm:
    """Return the arm with a loss on validation rows."""
    return replace(arm, facts={**arm.facts, "validation": {"loss": loss, "rows": 20.0}})


def watched(arm: MadeArm, *looks: tuple[float, float], reads: bool = False) -> MadeArm:
    """Return the arm with looks at general text: its loss and the KL to the base, from before the first step on."""
    entries = [{"step": step, "general_loss": loss, "kl_to_base": kl} for step, (loss, kl) in enumerate(looks)]
    return replace(arm, training={"forgetting": entries, "reads_general_text": reads})


def mixed_study(
    base: Mapping[str, Values],
    arms: Sequence[MadeArm],
    *,
    tasks: Sequence[TaskCard] = (),
    relations: Mapping[str, Relation] | None = None,
    extra: Sequence[CellScores] = (),
) -> StudyResults:
    """Build the study; tasks are asked for accuracy where no card is given."""
    cards = {name: task(name) for name in base} | {card.name: card for card in tasks}
    metric = {name: card.primary_metric for name, card in cards.items()}
    return StudyResults(
        name="made mixtures",
        base={"name": "tiny"},
        variants=tuple(arm.card for arm in arms),
        tasks=tuple(cards.values()),
        relations={
            (arm.card.id, name): Relation.IN_DOMAIN
            if name == arm.target
            else (relations or {}).get(name, Relation.CROSS_TASK)
            for arm in arms
            for name in cards
        },
        metrics={
            **METRICS,
            "numeric_match": MetricCard("numeric match", share, "share"),
            "mcc": MetricCard("mcc", share, "correlation"),
            "ece": MetricCard("ece", share, "share", higher_is_better=False),
        },
        scores=(
            *(cell_scores(BASE, name, 0, values, metric[name]) for name, values in base.items()),
            *(cell_scores(arm.card.id, name, 0, v, metric[name]) for arm in arms for name, v in arm.scores.items()),
            *extra,
        ),
        prompts=(),
        skipped=(),
        provenance={},
    )


def found(results: StudyResults, *, resample_count: int = 400, level: float = 0.95) -> Mixing:
    analysed = mixing(results, resample_scores(results, resample_count=resample_count), level=level)
    assert analysed is not None
    return analysed


def right(count: int, of: int = 10) -> list[float]:
    """Return items of which the first are right."""
    return [1.0] * count + [0.0] * (of - count)

"""From a study's scores to measurements and relation summaries, and to what its questions find in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from spillover.analysis.asked import AskedDifference, asked_differences
from spillover.analysis.idle import IdleCell, idle_cells
from spillover.analysis.readings import Subject, subjects
from spillover.analysis.relations import RelationSummary, relation_summaries
from spillover.analysis.verdict import Verdict
from spillover.records import BASE, Measurement, StudyResults
from spillover.statistics.cells import ResampledScore, ScoreKey, Scores, resample_scores
from spillover.statistics.inference import Inference, infer, wilson
from spillover.statistics.multiplicity import adjusted
from spillover.statistics.paired import LEVEL, RESAMPLE_COUNT, difference
from spillover.statistics.seeds import RecipeSummary, recipe_summaries

Found = TypeVar("Found")


class Finder(Protocol[Found]):
    """A question, as far as analysis asks it: what it finds in scores."""

    @property
    def name(self) -> str:
        """Under which its finding is kept."""

    def find(self, results: StudyResults, analysis: Analysis) -> Found | None:
        """Return what the scores say, None where they say nothing of it."""

    def verdicts(self, finding: Found) -> Sequence[Verdict]:
        """Return the verdict of every variant, of the question that judges."""

    def evidence(self, finding: Found) -> Mapping[str, Sequence[str]]:
        """Return variant to lines that stand under its verdict."""


@dataclass(frozen=True)
class Analysis:
    """What the numbers of a study mean."""

    measurements: tuple[Measurement, ...]
    """The base's rows first, then the variants', in the study's order."""
    relations: tuple[RelationSummary, ...]
    idle: tuple[IdleCell, ...]
    """Cells that cannot show a loss: their base is not shown to do better than by knowing nothing."""
    recipes: tuple[RecipeSummary, ...]
    """Means over seeds, where a recipe has several of training or of demonstrations."""
    resample_count: int
    level: float
    scores: Scores = field(repr=False, compare=False)
    """Every model's score in every cell, with its resamples."""
    judged: tuple[Subject, ...] = field(repr=False, compare=False)
    """What is judged: variants, and recipes with several seeds."""
    asked: tuple[AskedDifference, ...] = ()
    """What other ways of asking did; no part of anything else here."""
    questions: tuple[Finder[Any], ...] = ()
    """What was asked of them."""
    findings: Mapping[str, object] = field(default_factory=dict)
    """Question to what it found; those that found nothing are absent."""
    verdicts: tuple[Verdict, ...] = ()

    def of(self, question: Finder[Found]) -> Found | None:
        """Return what a question found."""
        return self.findings.get(question.name)  # type: ignore[return-value]


def analyse(
    results: StudyResults,
    questions: Sequence[Finder[Any]],
    *,
    resample_count: int = RESAMPLE_COUNT,
    level: float = LEVEL,
) -> Analysis:
    """Compare every variant with the base, and let questions look at the comparison.

    Raises:
        ValueError: On other examples than the base's, a missing cell or a non-finite number.
    """
    scores = resample_scores(results, resample_count=resample_count)
    idle = idle_cells(results, scores)
    judged = tuple(subjects(results, scores, idle, level=level))
    compared = Analysis(
        measurements=adjusted(_measurements(results, scores, level), results.tasks),
        relations=relation_summaries(results, scores, judged, level=level),
        idle=idle,
        recipes=recipe_summaries(results, scores, level=level),
        resample_count=resample_count,
        level=level,
        scores=scores,
        judged=judged,
        asked=asked_differences(results, resample_count=resample_count, level=level),
    )
    found = [(question, question.find(results, compared)) for question in questions]
    found = [(question, finding) for question, finding in found if finding is not None]
    evidence: dict[str, list[str]] = {}
    for question, finding in found:
        for variant, lines in question.evidence(finding).items():
            evidence.setdefault(variant, []).extend(lines)
    verdicts = [verdict for question, finding in found for verdict in question.verdicts(finding)]
    return replace(
        compared,
        questions=tuple(questions),
        findings={question.name: finding for question, finding in found},
        verdicts=tuple(replace(item, evidence=_evidence(item, evidence)) for item in verdicts),
    )


def _evidence(verdict: Verdict, evidence: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what was found of a verdict's variants; what is told of each of its seeds stands once."""
    return tuple(dict.fromkeys(line for variant in verdict.variants for line in evidence.get(variant, ())))


def _measurements(results: StudyResults, scores: Scores, level: float) -> tuple[Measurement, ...]:
    tasks = {task.name: task for task in results.tasks}
    trained_on = {card.id: card.trained_on for card in results.variants}
    rows: list[Measurement] = []
    for key, score in scores.items():
        base = scores[key._replace(variant=BASE)]
        task = tasks[key.cell.tested_on]
        found, own = _inference(results, score, base, key, level), wilson(score, level)
        rows.append(
            Measurement(
                variant=key.variant,
                trained_on=trained_on.get(key.variant, ""),
                tested_on=task.name,
                family=task.family,
                relation="" if key.variant == BASE else results.relations[key.variant, task.name].value,
                prompt_form=key.cell.prompt_form,
                shots=key.cell.shots,
                demonstration_seed=key.cell.demonstration_seed,
                metric=key.metric,
                value=score.value,
                base_value=base.value,
                difference=difference(score.value, base.value),
                low=found.low,
                high=found.high,
                item_count=len(score.example_ids),
                majority_accuracy=task.majority_accuracy,
                value_low=own[0] if own else None,
                value_high=own[1] if own else None,
                p_value=found.p_value,
                is_equivalent=found.is_equivalent,
                note=found.note,
                is_primary=key.metric == task.primary_metric,
                ask=key.cell.ask,
            )
        )
    return tuple(rows)


def _inference(
    results: StudyResults, score: ResampledScore, base: ResampledScore, key: ScoreKey, level: float
) -> Inference:
    if key.variant == BASE:
        return Inference(0.0, 0.0)
    return infer([[(score, base)]], results.metrics[key.metric], level=level, margin=results.margin)

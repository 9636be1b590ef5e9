"""From a study's scores to measurements, relation summaries, best-of-shots and in-context gains, and verdicts."""

from dataclasses import dataclass

from spillover.analysis.cells import ResampledScore, ScoreKey, Scores, resample_scores
from spillover.analysis.claims import Claim, claims
from spillover.analysis.drift import DriftFindings, drift_findings
from spillover.analysis.frontier import Frontier, frontiers
from spillover.analysis.idle import IdleCell, idle_cells
from spillover.analysis.in_context import InContextGain, in_context_gains
from spillover.analysis.inference import Inference, infer, wilson
from spillover.analysis.losses import AccuracyDrop, accuracy_drops
from spillover.analysis.mixing import Mixing, mixing
from spillover.analysis.multiplicity import adjusted
from spillover.analysis.paired import LEVEL, RESAMPLE_COUNT, difference
from spillover.analysis.readings import subjects
from spillover.analysis.relations import BestOfShots, RelationSummary, best_of_shots, relation_summaries
from spillover.analysis.seeds import RecipeSummary, recipe_summaries
from spillover.analysis.verdicts import Verdict, verdicts
from spillover.records import BASE, Measurement, StudyResults


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the numbers of a study mean."""

    measurements: tuple[Measurement, ...]
    """The base's rows first, then the variants', in the study's order."""
    relations: tuple[RelationSummary, ...]
    best_of_shots: tuple[BestOfShots, ...]
    verdicts: tuple[Verdict, ...]
    accuracy_drops: tuple[AccuracyDrop, ...]
    in_context_gains: tuple[InContextGain, ...]
    drift: DriftFindings
    claims: tuple[Claim, ...]
    """Those of the generalization paper, with what this study says of each."""
    frontiers: tuple[Frontier, ...]
    """One per training task and size that several variants share."""
    mixing: Mixing | None
    """None where no variant was trained on a mixture."""
    idle: tuple[IdleCell, ...]
    """Cells that cannot show a loss: their base is not shown to do better than by knowing nothing."""
    resample_count: int
    level: float
    recipes: tuple[RecipeSummary, ...] = ()
    """Means over seeds, where a recipe has several of training or of demonstrations."""


def analyse(results: StudyResults, *, resample_count: int = RESAMPLE_COUNT, level: float = LEVEL) -> Analysis:
    """Compare every variant with the base.

    Raises:
        ValueError: On other examples than the base's, a missing cell or a non-finite number.
    """
    scores = resample_scores(results, resample_count=resample_count)
    rows = adjusted(_measurements(results, scores, level), results.tasks)
    idle = idle_cells(results, scores)
    judged = subjects(results, scores, idle, level=level)
    relations = relation_summaries(results, scores, judged, level=level)
    return Analysis(
        measurements=rows,
        relations=relations,
        best_of_shots=best_of_shots(results, scores, level=level),
        verdicts=verdicts(results, judged, idle, rows),
        accuracy_drops=accuracy_drops(rows),
        in_context_gains=in_context_gains(results, scores, level=level),
        drift=drift_findings(results, relations, level=level),
        claims=claims(results, scores, level=level),
        frontiers=frontiers(results, scores, level=level),
        mixing=mixing(results, scores, level=level),
        idle=idle,
        resample_count=resample_count,
        level=level,
        recipes=recipe_summaries(results, scores, level=level),
    )


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
            )
        )
    return tuple(rows)


def _inference(
    results: StudyResults, score: ResampledScore, base: ResampledScore, key: ScoreKey, level: float
) -> Inference:
    if key.variant == BASE:
        return Inference(0.0, 0.0)
    return infer([[(score, base)]], results.metrics[key.metric], level=level, margin=results.margin)

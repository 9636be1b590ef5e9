"""Convergence as a question: could the base already do it, and could the fine-tune's scores have been predicted?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from spillover.analysis.analysis import Analysis
from spillover.question import Question
from spillover.questions.convergence.finding import Collected, Convergence, RecipeFinding, convergence
from spillover.questions.convergence.forecasts import Told
from spillover.questions.convergence.pilot import PilotKey, pilots, pilots_of
from spillover.questions.convergence.reading import choice_tasks
from spillover.records import StudyResults
from spillover.report.section import Section
from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.store.store import Store
from spillover.study.design import Designed
from spillover.study.study import Study
from spillover.study.study_file import StudyFile


class ConvergenceQuestion(Question[Convergence]):
    """Could the base already do it?"""

    name = "convergence"
    settings = PilotKey

    @property
    def design_keys(self) -> tuple[str, ...]:
        """None: a pilot is of a variant that is there, so that its key alone makes no study."""
        return ()

    def expand(self, settings: StudyFile) -> Sequence[Designed]:
        return tuple(pilots(settings))

    def collect(self, study: Study, store: Store) -> Collected | None:
        """Return the answers to every choice task; None where there are too few of them."""
        tasks = choice_tasks(study, store)
        if not tasks:
            return None
        families = {}
        for model in study.models:
            if isinstance(model, Finetune | Derive):
                rows = model.trained.rows
                sources = [rows.data, *(data for data, _ in (*rows.added, *rows.replayed))]
                families[model.variant] = frozenset(data.task.family for data in sources)
            elif model.trained_on:
                families[model.variant] = frozenset({model.trained_on.family})
        return Collected(tasks, families, pilots_of(study))

    def find(self, results: StudyResults, analysis: Analysis) -> Convergence | None:
        """Return what was to be seen in the base's scores; None below eight choice tasks."""
        collected: Collected | None = results.collected.get(self.name)
        return convergence(results, analysis, collected) if collected else None

    def sections(self, results: StudyResults, analysis: Analysis, finding: Convergence) -> Sequence[Section]:
        """Return verdicts, correlations, what exceeds the base, items and forecasts."""
        from spillover.questions.convergence.section import convergence_section  # with a chart, which a report needs

        return [convergence_section(results, finding)]

    def summary(self, finding: Convergence | None) -> Mapping[str, object]:
        """Return the numbers of every recipe."""
        if finding is None:
            return {}
        forecasts = [*finding.forecasts, *([finding.forgetting] if finding.forgetting else [])]
        return {
            "convergence": {
                "recipes": [_of_recipe(found) for found in finding.recipes],
                "forecasts": [_of_forecast(told) for told in forecasts],
            }
        }


def _of_recipe(found: RecipeFinding) -> Mapping[str, object]:
    recipe = found.recipe
    columns = zip(recipe.pairs, recipe.zero_shot, recipe.in_context, recipe.tuned, found.residuals, strict=True)
    return {
        "recipe": recipe.name,
        "scoring": recipe.scoring,
        "verdict": asdict(found.verdict),
        "correlations": [asdict(row) for row in (*found.correlations, *found.texts)],
        "items": asdict(found.items),
        "beyond": [{**asdict(row), "is_beyond": row.is_beyond} for row in found.excesses],
        "tasks": [
            {
                "task": pair.task.name,
                "family": pair.task.family,
                "is_seen": pair.is_seen,
                "shots": pair.most_shots,
                "zero_shot": float(zero_shot),
                "in_context": float(in_context),
                "tuned": float(tuned),
                "residual": float(left),
            }
            for pair, zero_shot, in_context, tuned, left in columns
        ],
    }


def _of_forecast(told: Told) -> Mapping[str, object]:
    found = told.found
    return {
        "of": told.of,
        "has_pilot": told.has_pilot,
        "sentence": told.sentence,
        "error": found.error,
        "null_error": found.null_error,
        "gain": found.gain,
        "low": found.low,
        "high": found.high,
        "half_width": found.half_width,
        "predicted": dict(zip(told.units, found.predicted.tolist(), strict=True)),
    }


CONVERGENCE = ConvergenceQuestion()

from dataclasses import replace

import numpy as np
import pytest

from spillover.questions import CONVERGENCE, answered
from spillover.questions.convergence.correlations import IN_CONTEXT
from spillover.questions.convergence.finding import Collected, residuals, text_correlations
from spillover.questions.convergence.forecasts import forgetting_forecast, task_forecasts
from spillover.questions.convergence.reading import SCORINGS
from spillover.records import BASE, Relation
from spillover.report.markdown import markdown_section
from spillover.report.page import html_page
from spillover.report.section import Chart
from spillover.statistics.ranks import spearman
from tests.questions.convergence.made_tasks import (
    TUNED,
    family_and_noise,
    made_with_convergence,
    recipe_of,
    task_of_scores,
)
from tests.report.made_results import made_results

MADE = made_with_convergence()
ANALYSIS = answered(MADE, resample_count=100)
FOUND = ANALYSIS.of(CONVERGENCE)


def test_the_section_says_each_part_and_the_page_shows_it():
    (section,) = CONVERGENCE.sections(MADE, ANALYSIS, FOUND)
    written = markdown_section(section)
    for words in (
        "sft/siqa/128: Not shown to go beyond the family: over all 30 tasks the rank correlation is",
        "tasks above the base's best of 2 shot counts",
        "From the base's scores, family by family left out, a task's prediction is off by",
        "Answers compared raw",
        "of kind instruct",
    ):
        assert words in written
    assert '<section id="convergence"' in html_page(MADE, ANALYSIS)
    chart = next(part for part in section.parts if isinstance(part, Chart))
    panels = chart.draw()
    assert [panel.title for panel in panels] == ["sft/siqa/128", "fticl/siqa/128", "sft/amazon/128"]
    assert all("<svg" in panel.svg for panel in panels)


def test_of_many_recipes_the_first_are_shown_and_it_is_said():
    many = replace(FOUND, recipes=FOUND.recipes * 5)
    (section,) = CONVERGENCE.sections(MADE, ANALYSIS, many)
    written = markdown_section(section)
    assert "Of 15 recipes the first 12 are shown, summary.json has all." in written
    (whole,) = CONVERGENCE.sections(MADE, ANALYSIS, FOUND)
    assert "are shown, summary.json" not in markdown_section(whole)


def test_a_classifier_is_a_null_on_the_tasks_that_it_was_trained_on():
    collected = MADE.collected["convergence"]
    cards = [
        replace(MADE.variants[0], id=f"slm/{task.name}/64/0", name="slm", trained_on=task.name, size=64)
        for task in collected.tasks[:6]
    ]
    cards = [replace(card, is_classifier=True) for card in cards]
    known = {card.trained_on: card.id for card in cards}
    tasks = [
        replace(task, answers={**task.answers, (known[task.name], 0, "raw"): task.answers[TUNED, 0, "raw"]})
        if task.name in known
        else task
        for task in collected.tasks
    ]
    results = replace(
        MADE,
        variants=(*MADE.variants, *cards),
        collected={"convergence": replace(collected, tasks=tuple(tasks))},
    )
    found = CONVERGENCE.find(results, ANALYSIS)
    assert len(found.recipes) == len(FOUND.recipes)  # a classifier is no recipe
    row = next(row for row in found.by("raw")[0].correlations if row.label == "classifier slm/64")
    assert (row.task_count, row.spearman) == (6, pytest.approx(1))


def test_a_model_that_is_the_base_in_context_is_said_to_have_been_seen_there():
    same = next(found for found in FOUND.recipes if found.recipe.name == "fticl/siqa/128")
    assert same.verdict.kind == "beyond both"
    assert not any(row.is_beyond for row in same.excesses)
    told = next(told for told in FOUND.forecasts if told.of == "fticl/siqa/128")
    assert "It is better than that mean" in told.sentence


def test_with_fewer_than_eight_tasks_nothing_is_found():
    collected = MADE.collected["convergence"]
    few = replace(MADE, collected={"convergence": replace(collected, tasks=collected.tasks[:7])})
    assert answered(few, resample_count=50).of(CONVERGENCE) is None
    assert CONVERGENCE.summary(None) == {}


def test_residuals_are_those_of_the_straight_line():
    one, other = np.array([0.0, 1, 2]), np.array([0.0, 3, 0])
    assert residuals(one, other) == pytest.approx([-1, 2, -1])
    assert residuals(np.ones(3), other) == pytest.approx([-1, 2, -1])


def test_texts_are_ranked_within_their_metric_and_only_where_there_are_four():
    assert text_correlations(MADE, ANALYSIS.scores, [TUNED]) == ()  # two tasks of texts
    results = made_results()
    names = [task.name for task in results.tasks]
    texts = tuple(replace(task, chance_accuracy=None, primary_metric="accuracy") for task in results.tasks[2:])
    twice = replace(results, tasks=(*results.tasks[:2], *texts, replace(texts[0], name=names[2])))
    rows = text_correlations(twice, answered(results, resample_count=50).scores, [TUNED])
    row = next(row for row in rows if row.label == f"{IN_CONTEXT}, accuracy of texts")
    scores = answered(results, resample_count=50).scores
    at = {
        (key.variant, key.cell.tested_on, key.cell.shots): score.value
        for key, score in scores.items()
        if key.metric == "accuracy"
    }
    own = [names[2], names[3], names[4], names[2]]
    expected = spearman(np.array([at[BASE, n, 2] for n in own]), np.array([at[TUNED, n, 0] for n in own]))
    assert row.spearman == pytest.approx(float(expected))
    assert row.task_count == 4


def test_a_pilot_that_knows_the_scores_is_worth_its_rows():
    tasks = family_and_noise(3)
    with_pilot = [
        replace(task, answers={**task.answers, **{("pilot", 0, way): task.answers[TUNED, 0, way] for way in SCORINGS}})
        for task in tasks
    ]
    recipes = [recipe_of(with_pilot, scoring=way) for way in SCORINGS]
    without, with_it = task_forecasts(*recipes, ["pilot"], level=0.95, resample_count=100)
    assert (without.has_pilot, with_it.has_pilot) == (False, True)
    assert with_it.found.error < 0.5 * without.found.error
    assert with_it.sentence.startswith("From the base's scores and a pilot, family by family left out")
    assert len(task_forecasts(*recipes, ["gone"], level=0.95, resample_count=100)) == 1


def test_few_families_have_a_forecast_and_no_interval_and_one_family_none():
    tasks = [
        task_of_scores(f"t{place}", f"f{place % 3}", {(BASE, 0): 0.1 * place, (BASE, 4): 0.2, (TUNED, 0): 0.05 * place})
        for place in range(9)
    ]
    (told,) = task_forecasts(recipe_of(tasks), recipe_of(tasks), (), level=0.95, resample_count=100)
    assert "there is no interval for a new one: 3 families are too few, 10 are needed" in told.sentence
    one = recipe_of([replace(task, family="f") for task in tasks])
    assert task_forecasts(one, one, (), level=0.95, resample_count=100) == ()


def forgetting(count):
    """Return the made study with so many recipes, each losing what the logarithm of its pilot's drift says."""
    results = made_results()
    card = next(card for card in results.variants if card.id == TUNED)
    cards, relations, pilots = [], [], {}
    found = next(item for item in answered(results, resample_count=50).relations if item.variant == TUNED)
    for place in range(count):
        moved = 10.0 ** (-place / 4)
        facts = {"drift": {"mean_absolute_difference": moved, "probe": {"kl_to_base": moved}}}
        own = replace(card, id=f"r{place}/siqa/128/0", name=f"r{place}", facts={})
        cards += [own, replace(own, id=f"p{place}", name=f"p{place}", facts=facts, is_control=True)]
        pilots[own.id] = f"p{place}"
        relations.append(
            replace(
                found,
                variant=own.id,
                relation=Relation.CROSS_TASK,
                kind="right answers",
                mean_difference=-0.1 + 0.02 * place,
            )
        )
    made = replace(results, variants=tuple(cards))
    analysis = replace(answered(results, resample_count=50), relations=tuple(relations))
    return forgetting_forecast(made, analysis, pilots)


def test_forgetting_is_forecast_from_the_drift_of_pilots():
    told = forgetting(12)
    assert told.units[0] == "r0/siqa/128"
    assert told.found.actual[0] == pytest.approx(0.1)  # what was lost
    assert told.found.is_better
    assert told.sentence.startswith("From the pilots' drift and KL, recipe by recipe left out, a recipe's prediction")
    assert forgetting(7) is None


def test_a_study_that_was_not_read_has_no_finding():
    assert CONVERGENCE.find(made_results(), ANALYSIS) is None
    empty = Collected((), {}, {})
    assert CONVERGENCE.find(replace(MADE, collected={"convergence": empty}), ANALYSIS) is None

import pytest

from spillover.errors import UserError
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe
from spillover.training.sweep import sweep_points


def points(sweep, recipe=None, training=None):
    recipe = Recipe.model_validate(recipe or {})
    return sweep_points("sft", recipe, training or {}, sweep, where="study.yaml: variant 'sft'")


def test_a_grid_is_every_combination_and_names_its_values():
    grid = points({"training.learning_rate": [1e-4, 2.5e-5], "training.epochs": [1, 2]})
    assert [point.name for point in grid] == [
        "sft~learning_rate=1e-4~epochs=1",
        "sft~learning_rate=1e-4~epochs=2",
        "sft~learning_rate=2.5e-5~epochs=1",
        "sft~learning_rate=2.5e-5~epochs=2",
    ]
    assert grid[1].training == {"learning_rate": 1e-4, "epochs": 2}


def test_a_point_is_the_recipe_written_out_by_hand():
    (first, second) = points({"recipe.constraint.strength": [0.1, 1]}, {"constraint": "l2-sp", "demonstrations": 2})
    by_hand = {"constraint": {"kind": "l2-sp", "strength": 0.1}, "demonstrations": 2}
    assert first.recipe == Recipe.model_validate(by_hand)
    assert first.recipe.training_identity() == Recipe.model_validate(by_hand).training_identity()
    assert [point.name for point in (first, second)] == ["sft~strength=0.1", "sft~strength=1"]


def test_without_a_sweep_a_variant_is_itself():
    recipe = {"parameters": {"kind": "lora", "rank": 4}, "afterwards": {"kind": "dare", "drop": [0.5, 0.9]}}
    (point,) = points({}, recipe, {"epochs": 3})
    assert (point.name, point.recipe, point.training) == ("sft", Recipe.model_validate(recipe), {"epochs": 3})


def test_values_of_what_is_done_afterwards_stay_with_one_training():
    swept = {"recipe.afterwards.alpha": [0.25, 0.5], "training.epochs": [1, 2]}
    first, second = points(swept, {"afterwards": "interpolate"})
    assert [first.name, second.name] == ["sft~epochs=1", "sft~epochs=2"]
    assert [point.suffix for point in first.recipe.afterwards.points()] == ["alpha=0.25", "alpha=0.5"]


def test_a_whole_slot_is_swept_by_its_words_and_names_that_come_twice_say_where():
    assert [point.recipe.constraint.kind for point in points({"recipe.constraint": ["none", "kl"]})] == ["none", "kl"]
    both = {"recipe.demonstrations.seed": [1], "recipe.constraint.seed": [2]}
    (point,) = points(both, {"constraint": "random-mask"})
    assert point.name == "sft~demonstrations.seed=1~constraint.seed=2"


@pytest.mark.parametrize(
    ("sweep", "recipe", "training", "message"),
    [
        ({"learning_rate": [1]}, {}, {}, "unknown setting of the variant 'learning_rate'; did you mean 'training.le"),
        ({"recipe.constraint.strenth": [1]}, {"constraint": "kl"}, {}, "did you mean 'recipe.constraint.strength'"),
        ({"recipe.constraint.strength": [1]}, {}, {}, "unknown setting of the variant 'recipe.constraint.strength'"),
        ({"recipe": [1]}, {}, {}, "sweep: unknown setting of the variant 'recipe'; did you mean"),
        ({"training.epochs": [1]}, {}, {"epochs": 2}, "training.epochs is both set and swept; remove one of them"),
        (
            {"recipe.constraint.strength": [1]},
            {"constraint": {"kind": "kl", "strength": 2}},
            {},
            "recipe.constraint.strength is both set and swept",
        ),
        (
            {"recipe.constraint": ["kl"], "recipe.constraint.kind": ["kl"]},
            {},
            {},
            "sweep: recipe.constraint.kind is a part of recipe.constraint; sweep one of them",
        ),
        (
            {"recipe.constraint": ["kl", "spider"]},
            {"parameters": "lora"},
            {},
            "sft~constraint=spider: recipe: constraint 'spider' and parameters 'lora' contradict each other",
        ),
        ({"recipe.constraint": ["klx"]}, {}, {}, "unknown kind of constraint 'klx'"),
        (
            {"recipe.afterwards.alpha": [0, 1]},
            {"afterwards": "interpolate"},
            {},
            "afterwards.alpha[0] is 0; it should be greater than 0",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused_with_the_reason(sweep, recipe, training, message):
    with pytest.raises(UserError) as error:
        points(sweep, recipe, training)
    assert message in str(error.value)
    assert str(error.value).startswith("study.yaml: variant 'sft': ")
    assert "\n" not in str(error.value)


def test_at_most_so_many_steps_are_taken_and_a_study_without_the_limit_keeps_its_identity():
    assert TrainingSettings(epochs=2, batch_size=4).step_count(9) == 6
    assert TrainingSettings(epochs=2, batch_size=4, max_steps=5).step_count(9) == 5
    assert TrainingSettings(epochs=2, batch_size=4, max_steps=7).step_count(9) == 6
    assert "max_steps" not in TrainingSettings().identity()
    assert TrainingSettings(max_steps=5).identity()["max_steps"] == 5

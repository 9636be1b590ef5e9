import pytest

from spillover.errors import UserError
from spillover.settings import parse_settings
from spillover.training.optimization import TrainingSettings
from spillover.training.parameters.lora import Lora
from spillover.training.settings import Recipe

LORA = {"kind": "lora"}


def test_a_bare_word_is_a_kind_with_its_defaults():
    assert Recipe.model_validate({"constraint": "l2-sp"}) == Recipe.model_validate({"constraint": {"kind": "l2-sp"}})


def test_all_four_slots_combine():
    recipe = Recipe.model_validate(
        {
            "demonstrations": 2,
            "parameters": LORA,
            "constraint": "kl",
            "afterwards": {"kind": "interpolate", "alpha": 0.3},
        }
    )
    assert [point.suffix for point in recipe.afterwards.points()] == ["alpha=0.3"]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"constraint": "spidr"}, "constraint: unknown kind of constraint 'spidr'; did you mean 'spider'?"),
        ({"parameters": {"rank": 2}}, "parameters: kind is missing; add one of: full, last-layers, lora"),
        ({"constraint": {"kind": "l2-sp", "strenth": 1}}, "unknown setting 'strenth'; did you mean 'strength'?"),
        ({"afterwards": {"kind": "interpolate", "alpha": 0}}, "afterwards.alpha is 0; it should be greater than 0"),
        ({"parameters": LORA, "constraint": "spider"}, "'spider' and parameters 'lora' contradict each other"),
        ({"parameters": LORA, "constraint": "half"}, "'half' and parameters 'lora' contradict each other"),
        ({"parameters": {**LORA, "use_dora": True}, "constraint": "l2-sp"}, "which use_dora changes; use plain lora"),
        ({"parameters": {**LORA, "dropout": 0.1}, "constraint": "kl"}, "'kl' and dropout contradict each other"),
        (
            {"parameters": {**LORA, "dropout": 0.1, "init_lora_weights": "pissa"}},
            "'pissa' and dropout contradict each other",
        ),
        ({"parameters": {**LORA, "bits": 8}}, "parameters.bits is 8; it should be 4"),
        ({"parameters": {**LORA, "bits": 4, "use_dora": True}}, "bits and use_dora contradict each other"),
        (
            {"parameters": {**LORA, "bits": 4, "init_lora_weights": "pissa"}},
            "bits and init_lora_weights 'pissa' contradict each other",
        ),
        (
            {"parameters": {**LORA, "base_precision": "training", "init_lora_weights": "pissa"}},
            "base_precision 'training' and init_lora_weights 'pissa' contradict each other",
        ),
        (
            {"parameters": {**LORA, "base_precision": "training", "bits": 4}},
            "base_precision 'training' and bits contradict each other",
        ),
        ({"parameters": {**LORA, "bits": 4}, "constraint": "spider"}, "'spider' and parameters 'lora' contradict"),
        ({"demonstrations": {"count": 0, "resampled": True}}, "demonstrations: resampled needs a count of at least 1"),
        ({"afterwards": {"kind": "interpolate", "alpha": [0.5, 0.5]}}, "afterwards.alpha: 0.5 is listed twice"),
        ({"afterwards": {"kind": "dare", "drop": [0.5, 0.9, 0.5]}}, "afterwards.drop: 0.5 is listed twice"),
        ({"parameters": LORA, "afterwards": {"kind": "lora-scale", "scale": [2, 2]}}, "scale: 2.0 is listed twice"),
        ({"constraint": {"kind": "replay", "rows_of": ["a", "a"]}}, "constraint.rows_of: 'a' is listed twice"),
        ({"parameters": {**LORA, "target_modules": []}}, "parameters.target_modules"),
        ({"afterwards": "lora-scale"}, "'lora-scale' needs parameters 'lora'; for other weights use 'interpolate'"),
        (
            {"parameters": {**LORA, "use_dora": True}, "afterwards": "lora-scale"},
            "'lora-scale' and use_dora contradict each other",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(recipe, message):
    with pytest.raises(UserError) as error:
        parse_settings(Recipe, recipe, where="study.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_identity_of_a_training_names_only_slots_that_are_not_plain():
    assert Recipe().training_identity() == {"demonstrations": {"count": 0, "seed": 0}}
    derived = Recipe.model_validate({"afterwards": "dare"})
    assert derived.training_identity() == Recipe().training_identity()
    assert set(Recipe.model_validate({"constraint": "kl"}).training_identity()) == {"demonstrations", "constraint"}
    # A kind with all its defaults is still named with them, so that a changed default is another identity.
    assert Recipe.model_validate({"constraint": "kl"}).training_identity()["constraint"]["strength"] == 1.0


def test_a_rounded_base_is_part_of_the_identity_only_where_it_is_asked_for():
    whole, rounded = (Recipe.model_validate({"parameters": {**LORA, "bits": bits}}) for bits in (None, 4))
    assert "bits" not in whole.training_identity()["parameters"]
    assert rounded.training_identity()["parameters"] == {**whole.training_identity()["parameters"], "bits": 4}


def test_resampling_is_named_in_the_identity_only_where_it_is_asked_for():
    fixed, drawn = (Recipe.model_validate({"demonstrations": {"count": 2, "resampled": r}}) for r in (False, True))
    assert fixed.training_identity() == {"demonstrations": {"count": 2, "seed": 0}}
    assert drawn.training_identity() == {"demonstrations": {"count": 2, "seed": 0, "resampled": True}}


def test_an_optimizer_is_part_of_the_identity_and_what_only_saves_memory_is_not():
    plain = TrainingSettings()
    assert "optimizer" not in plain.identity()
    assert TrainingSettings(optimizer="adamw-8bit").identity() == {**plain.identity(), "optimizer": "adamw-8bit"}
    assert TrainingSettings(gradient_checkpointing=True).identity() == plain.identity()


def test_one_target_module_may_stand_alone():
    kept = {value: Lora.model_validate({"target_modules": value}).target_modules for value in ("q_proj", "all-linear")}
    assert kept == {"q_proj": ("q_proj",), "all-linear": "all-linear"}

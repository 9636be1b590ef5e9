from dataclasses import replace

import pytest

from spillover.analysis.counterpart import (
    counterpart_without_demonstrations,
    differ_in_one_thing,
    is_fticl,
    is_plain,
)
from spillover.records import VariantCard

RATE = {"settings": {"learning_rate": 1e-4, "gradient_checkpointing": False}}
PLAIN = VariantCard(
    id="sft/t/8/0", name="sft", trained_on="t", size=8, seed=0, recipe={"demonstrations": {"count": 0}}, training=RATE
)
FTICL = replace(PLAIN, id="fticl/t/8/0", name="fticl", recipe={"demonstrations": {"count": 2}})
OTHER_RATE = {"settings": {"learning_rate": 2e-5, "gradient_checkpointing": False}}
MIXTURE = {"row_shares": {"t": 0.5, "u": 0.5}, "repeated_rows": {"t": 0, "u": 0}, "order": "joint"}
REPEATED = {"row_shares": {"t": 1.0}, "repeated_rows": {"t": 8}, "order": "joint"}

NOT_PLAIN = [
    {"mixture": MIXTURE},
    {"mixture": REPEATED},
    {"recipe": {"demonstrations": {"count": 0}, "parameters": {"kind": "lora"}}},
    {"recipe": {"demonstrations": {"count": 0}, "afterwards": {"kind": "interpolate"}}},
    {"recipe": {"trained_elsewhere": {"adapter": "mine"}}},
]


def test_plain_fine_tuning_adds_nothing_and_fticl_demonstrations_alone():
    assert (is_plain(PLAIN), is_fticl(PLAIN)) == (True, False)
    assert (is_plain(FTICL), is_fticl(FTICL)) == (False, True)
    assert is_plain(replace(PLAIN, recipe={}))
    assert not is_plain(replace(PLAIN, is_control=True))
    assert is_plain(replace(PLAIN, recipe={"parameters": {"kind": "full"}, "constraint": {"kind": "none"}}))


@pytest.mark.parametrize("changed", NOT_PLAIN)
def test_whatever_is_added_makes_it_another_recipe(changed):
    assert not is_plain(replace(PLAIN, **changed))
    assert counterpart_without_demonstrations(FTICL, [replace(PLAIN, **changed)]) is None


@pytest.mark.parametrize("changed", [{"size": 9}, {"seed": 1}, {"trained_on": "u"}, {"training": OTHER_RATE}])
def test_a_counterpart_has_the_same_rows_size_seed_and_settings(changed):
    other = replace(PLAIN, **changed)
    assert counterpart_without_demonstrations(FTICL, [other]) is None
    assert counterpart_without_demonstrations(FTICL, [other, PLAIN]) is PLAIN
    assert counterpart_without_demonstrations(PLAIN, [other, PLAIN]) is None


def test_recomputing_activations_makes_no_other_variant():
    saving = replace(PLAIN, training={"settings": {**RATE["settings"], "gradient_checkpointing": True}})
    assert counterpart_without_demonstrations(FTICL, [saving]) is saving


def test_a_mixture_with_demonstrations_goes_with_the_same_mixture_without():
    shown, mixed = replace(FTICL, mixture=MIXTURE), replace(PLAIN, mixture=MIXTURE)
    assert not is_fticl(shown)
    assert counterpart_without_demonstrations(shown, [PLAIN, mixed]) is mixed


def test_two_variants_differ_in_what_they_learn_by_or_in_settings_but_not_in_both():
    assert differ_in_one_thing(PLAIN, FTICL)
    assert differ_in_one_thing(PLAIN, replace(PLAIN, mixture=MIXTURE))
    assert differ_in_one_thing(PLAIN, replace(PLAIN, training=OTHER_RATE))
    assert not differ_in_one_thing(PLAIN, replace(FTICL, training=OTHER_RATE))
    assert not differ_in_one_thing(PLAIN, replace(PLAIN, mixture=MIXTURE, training=OTHER_RATE))
    assert not differ_in_one_thing(PLAIN, replace(FTICL, seed=1))

import itertools
import random

import pytest

from spillover.prompts.encoding import common_prefix_length
from spillover.prompts.grouping import prefix_groups


def saved(prompts, groups, group_cost):
    kept = ([prompts[index] for index in group] for group in groups)
    return sum(common_prefix_length(members) * (len(members) - 1) - group_cost for members in kept)


@pytest.mark.parametrize("seed", range(20))
def test_every_prompt_is_in_one_group_and_grouping_saves_no_less_than_one_group_or_none(seed):
    draw = random.Random(seed)
    prompts = list({tuple(draw.choice((1, 2)) for _ in range(draw.randint(1, 9))) for _ in range(30)})
    draw.shuffle(prompts)
    cost = draw.choice((0, 1, 3))
    groups = prefix_groups(prompts, group_cost=cost)
    together, alone = [list(range(len(prompts)))], [[index] for index in range(len(prompts))]
    assert sorted(itertools.chain(*groups)) == together[0]
    assert saved(prompts, groups, cost) >= max(saved(prompts, together, cost), saved(prompts, alone, cost))


def test_prompts_that_share_much_stay_apart_from_many_that_share_nothing():
    task = [(9, *range(500), index, 1) for index in range(10, 20)]
    others = [(1, index, index + 1) for index in range(300)]
    groups = prefix_groups([*others, *task], group_cost=64)
    assert sorted(map(len, groups)) == [10, 300]


def test_shuffled_prompts_of_two_tasks_fall_apart_into_theirs():
    first = [(7,) * 100 + (index, 1) for index in range(5)]
    second = [(8,) * 100 + (index, 1) for index in range(5)]
    prompts = [prompt for pair in zip(first, second, strict=True) for prompt in pair]
    groups = prefix_groups(prompts, group_cost=64)
    assert sorted(sorted(group) for group in groups) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_prompts_that_each_begin_the_next_do_not_exhaust_the_stack():
    prompts = [(1,) * length for length in range(1, 1500)]
    assert sorted(itertools.chain(*prefix_groups(prompts, group_cost=64))) == list(range(1499))


def test_no_prompts_are_no_groups():
    assert prefix_groups([], group_cost=64) == []

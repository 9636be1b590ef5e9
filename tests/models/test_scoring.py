import numpy as np
import pytest
import torch

from spillover.models import attention, generation
from spillover.models.generation import cached_bytes, generate
from spillover.models.packing import packs, with_answers
from spillover.models.scoring import PrefixCache, answer_log_likelihoods, answer_scores
from tests.models.tiny import SHARING, STATEFUL, VOCABULARY, tiny_model

ANSWERS = [(7, 8, 9), (7, 8), (7,), (11,), (7, 12, 13, 14)]  # shared first tokens, and prefixes of one another
ARCHITECTURES = [*SHARING, *STATEFUL]


def prompts_of(shared: int, lengths: list[int], seed: int = 0) -> list[tuple[int, ...]]:
    draw = np.random.default_rng(seed)
    head = tuple(int(token) for token in draw.integers(3, VOCABULARY, shared))
    return [head + tuple(int(token) for token in draw.integers(3, VOCABULARY, length)) for length in lengths]


def plain_log_likelihood(model, prompt, answer):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
    return sum(float(logits[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shared", [0, 1, 9, 20])
def test_packed_log_likelihoods_equal_those_of_plain_forward_passes(architecture, shared):
    model = tiny_model(architecture)
    prompts = prompts_of(shared, [3, 1, 12, 7, 7, 2])
    scores = answer_log_likelihoods(model, prompts, [ANSWERS] * len(prompts), pack_tokens=30)
    expected = np.array([[plain_log_likelihood(model, prompt, answer) for answer in ANSWERS] for prompt in prompts])
    assert np.abs(np.array(scores) - expected).max() <= 1e-4
    assert (np.array(scores).argmax(1) == expected.argmax(1)).all()
    assert np.ptp(expected, axis=0).min() > 0.1  # the rows differ, so a mix-up of rows could not pass


@pytest.mark.parametrize("architecture", SHARING)
def test_log_likelihoods_do_not_depend_on_the_size_of_a_pack(architecture):
    model = tiny_model(architecture)
    prompts = prompts_of(6, [4, 9, 1, 5, 30])
    scores = [
        np.array(answer_log_likelihoods(model, prompts, [ANSWERS] * 5, pack_tokens=size)) for size in (1, 25, 10_000)
    ]
    assert np.abs(scores[0] - scores[1]).max() <= 1e-4
    assert np.abs(scores[0] - scores[2]).max() <= 1e-4


@pytest.mark.parametrize("architecture", SHARING)
def test_a_prefix_cache_grown_over_cells_gives_the_scores_of_a_fresh_one(architecture):
    model = tiny_model(architecture)
    short, long = prompts_of(4, [3, 5, 2]), prompts_of(4, [3, 5, 2])
    grown_head = (*long[0][:4], 21, 22, 23, 24, 25, 26, 27)
    long = [grown_head + prompt[4:] for prompt in long]
    prefixes = PrefixCache(model)
    for prompts in (short, long, short):
        reused = answer_log_likelihoods(model, prompts, [ANSWERS] * 3, prefixes=prefixes)
        fresh = answer_log_likelihoods(model, prompts, [ANSWERS] * 3)
        assert np.abs(np.array(reused) - np.array(fresh)).max() <= 1e-5


def test_prompts_may_have_different_numbers_of_answers():
    model = tiny_model()
    prompts = prompts_of(3, [2, 4])
    scores = answer_log_likelihoods(model, prompts, [ANSWERS[:1], ANSWERS])
    assert [len(row) for row in scores] == [1, 5]


def test_answers_share_their_common_first_tokens():
    tree, continuations = with_answers((1, 2), ANSWERS)
    assert tree.token_ids == (1, 2, 7, 8, 12, 13)
    assert tree.parents == (-1, 0, 1, 2, 2, 4)
    assert [c.at for c in continuations] == [(1, 2, 3), (1, 2), (1,), (1,), (1, 2, 4, 5)]


def test_packs_hold_every_row_once_within_the_budget_longest_first():
    lengths = [5, 40, 3, 3, 9, 1]
    groups = packs(lengths, 12)
    assert sorted(row for group in groups for row in group) == list(range(6))
    assert groups[0] == [1]
    assert all(sum(lengths[row] for row in group) <= 12 for group in groups[1:])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shared", [0, 12])
def test_generation_equals_greedy_decoding_row_by_row(architecture, shared):
    model = tiny_model(architecture)
    prompts = prompts_of(shared, [3, 1, 12, 7], seed=3)
    stop_pair = None

    def finished(ids):
        return stop_pair is not None and tuple(ids[-2:]) == stop_pair

    def one_by_one(prompt):
        row: list[int] = []
        while len(row) < 9:
            with torch.no_grad():
                token = int(model(input_ids=torch.tensor([[*prompt, *row]])).logits[0, -1].argmax())
            if token == 2:
                break
            row.append(token)
            if finished(row):
                break
        return tuple(row)

    free = [one_by_one(prompt) for prompt in prompts]
    longest = max(free, key=len)
    stop_pair = longest[2:4]
    expected = [one_by_one(prompt) for prompt in prompts]
    got = generate(model, prompts, max_new_tokens=9, end_token_id=2, is_finished=finished)
    assert got == expected
    assert expected != free


@pytest.mark.parametrize("architecture", SHARING)
def test_a_grown_prefix_cache_equals_a_fresh_one_to_the_last_bit(architecture):
    model = tiny_model(architecture)
    head = prompts_of(150, [1])[0]
    grown = PrefixCache(model)
    for length in (3, 70, 140, 20, 140):
        fresh = PrefixCache(model).fork(head[:length])
        for ours, theirs in zip(grown.fork(head[:length]), fresh, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_answer_is_greedy_where_every_token_is_the_models_first_choice(architecture):
    model = tiny_model(architecture)
    prompts = prompts_of(4, [3, 6])
    own = generate(model, prompts, max_new_tokens=3, end_token_id=-1, is_finished=lambda _: False)
    answers = [[ids, ids[:2], (*ids[:2], (ids[2] + 1) % VOCABULARY)] for ids in own]
    flags = [row.is_greedy.tolist() for row in answer_scores(model, prompts, answers)]
    assert flags == [[True, True, False]] * 2


@pytest.mark.parametrize("architecture", SHARING)
def test_many_rows_over_few_lines_of_the_cache_are_decoded_as_one_by_one(architecture, monkeypatch):
    model = tiny_model(architecture)
    prompts = prompts_of(5, [3, 1, 12, 7, 2, 2, 9, 40], seed=4)
    settings = {"max_new_tokens": 6, "end_token_id": 2, "is_finished": lambda row: row[-1] % 5 == 0}
    alone = [generate(model, [prompt], **settings)[0] for prompt in prompts]
    monkeypatch.setattr("spillover.models.generation.ROW_TOKENS", 60)
    assert generate(model, prompts, **settings) == alone
    assert len({len(row) for row in alone}) > 1


@pytest.mark.parametrize("architecture", SHARING)
def test_longer_queries_are_begun_beside_the_last_of_the_shorter_ones(architecture, monkeypatch):
    model = tiny_model(architecture)
    prompts = prompts_of(5, [3, 2, 3, 2, 50], seed=9)
    settings = {"max_new_tokens": 6, "end_token_id": -1}
    free = [generate(model, [prompt], **settings, is_finished=lambda row: False)[0] for prompt in prompts]
    lasting = {free[0][:2], free[4][:2]}
    assert not lasting & {row[:2] for row in free[1:4]}
    steps = []
    step = generation._Lines.step
    monkeypatch.setattr(generation._Lines, "step", lambda lines: steps.append(sorted(lines.rows)) or step(lines))
    monkeypatch.setattr(generation, "ROW_TOKENS", 130)
    got = generate(model, prompts, **settings, is_finished=lambda row: len(row) == 2 and tuple(row) not in lasting)
    assert got == [free[0], free[1][:2], free[2][:2], free[3][:2], free[4]]
    assert steps == [[0, 1, 2, 3], *[[0, 4]] * 4, [4]]


@pytest.mark.parametrize("architecture", SHARING)
def test_decoding_reads_the_shared_prefix_apart_unless_a_window_ends_in_it(architecture, monkeypatch):
    model = tiny_model(architecture)
    prompts = prompts_of(9, [3, 1, 6], seed=4)
    settings = {"max_new_tokens": 5, "end_token_id": -1, "is_finished": lambda row: False}
    apart, widths = [], []
    attend, write = attention._attend_apart, generation._LineLayer.update
    monkeypatch.setattr(attention, "_attend_apart", lambda *args: apart.append(args[3][0].shape[2]) or attend(*args))

    def update(layer, keys, values, *rest, **more):
        widths.append(layer._all[0].shape[2])
        return write(layer, keys, values, *rest, **more)

    monkeypatch.setattr(generation._LineLayer, "update", update)
    assert generate(model, prompts, **settings) == [generate(model, [prompt], **settings)[0] for prompt in prompts]
    if getattr(model.config, "sliding_window", None):
        assert (apart, widths[0]) == ([], 9 + 6 + 5)
    else:
        assert (apart[0], widths[0]) == (9, 6 + 5)


@pytest.mark.parametrize("architecture", SHARING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_cached_token_takes_is_known_beforehand(architecture, dtype):
    model = tiny_model(architecture).to(dtype)
    cache = PrefixCache(model).fork(prompts_of(20, [1])[0][:20])
    taken = sum(states.numel() * states.element_size() for keys, values, *_ in cache for states in (keys, values))
    assert taken == 20 * cached_bytes(model)

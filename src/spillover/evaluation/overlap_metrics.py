"""Metrics of wording in any script: ROUGE-L, BLEU and chrF, as counts that are summed over examples."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.prompts.words import Writing, folded, words, writing
from spillover.records import FloatArray, Prediction

BLEU_ORDER, CHRF_ORDER = 4, 6
"""The longest n-grams, of words (Papineni et al. 2002) and of characters (Popović 2015)."""
RECALL_WEIGHT = 4
"""Beta squared of chrF2 (Popović 2016)."""
BLEU_TOKENIZERS: dict[Writing, str] = {"spaced": "13a", "Chinese": "zh", "unspaced": "char"}
"""SacreBLEU's own: its tokenizers of Japanese words need a dictionary, so that characters are counted there."""


def rouge_l(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return F1 of the longest common subsequence of words (Lin 2004, section 3), and one.

    As rouge-score without stemming on ASCII text. There and elsewhere two texts without a word, such as punctuation or
    an emoji, score 1 where they are equal: there is nothing to divide, and a right answer is not wrong.
    """
    values = [_rouge_l(prediction.target, chosen_answer(prediction, scoring)) for prediction in predictions]
    return np.stack([np.array(values), np.ones(len(values))], axis=1)


def _rouge_l(target: str, answer: str) -> float:
    wanted, given = words(target), words(answer)
    if not wanted and not given:
        return float(folded(target).split() == folded(answer).split())
    common = common_length(wanted, given)
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of the table at a time as the bits of one number.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    places: dict[str, int] = {}
    for index, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << index
    all_ones = row = (1 << len(first)) - 1
    for token in second:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & all_ones
    return len(first) - row.bit_count()


def bleu_counts(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return matches and totals of 1- to 4-grams, then generated and reference length: ten sums.

    The references of all predictions say how their words are divided. Texts are composed (NFC) first.
    """
    from sacrebleu.metrics.bleu import BLEU

    tokenizer = BLEU_TOKENIZERS[writing(prediction.target for prediction in predictions)]
    scorer = BLEU(tokenize=tokenizer, effective_order=True)
    rows = []
    for prediction in predictions:
        answer = _composed(chosen_answer(prediction, scoring))
        score = scorer.sentence_score(answer, [_composed(prediction.target)])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, dtype=np.float64)


def bleu(totals: FloatArray) -> FloatArray:
    """Return corpus BLEU with exponential smoothing of orders without a match, as sacreBLEU's default.

    Orders that no answer is long enough for are left out, as sacreBLEU's ``effective_order`` does; its default is 0
    there, even for answers that equal references of three words. Both agree once one answer has four words.
    """
    matches, counts = totals[..., :BLEU_ORDER], totals[..., BLEU_ORDER : 2 * BLEU_ORDER]
    generated, reference = totals[..., -2], totals[..., -1]
    counted = counts > 0
    missing = (matches == 0) & counted
    smoothing = np.power(2.0, np.cumsum(missing, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(missing, 1 / (smoothing * counts), matches / counts)
        brevity = np.where(generated < reference, np.exp(1 - reference / generated), 1.0)
        logarithms = np.log(np.where(counted, precisions, 1.0)).sum(axis=-1) / counted.sum(axis=-1)
        value = 100 * brevity * np.exp(logarithms)
    return np.where((matches > 0).any(axis=-1), value, 0.0)


def chrf_counts(predictions: Sequence[Prediction], scoring: Scoring) -> FloatArray:
    """Return, for n-grams of 1 to 6 characters, those of the answer, of the reference and of both: eighteen sums.

    White space does not count. Texts are composed (NFC) first.
    """
    rows = []
    for prediction in predictions:
        given, wanted = _composed(chosen_answer(prediction, scoring)), _composed(prediction.target)
        rows.append([count for order in range(1, CHRF_ORDER + 1) for count in _shared(given, wanted, order)])
    return np.array(rows, dtype=np.float64)


def _shared(given: str, wanted: str, order: int) -> tuple[int, int, int]:
    """Count n-grams; as in sacreBLEU an answer's do not count where its reference is too short to have any."""
    own, reference = _character_ngrams(given, order), _character_ngrams(wanted, order)
    return own.total() if reference else 0, reference.total(), (own & reference).total()


def _character_ngrams(text: str, order: int) -> Counter[str]:
    joined = "".join(text.split())
    return Counter(joined[start : start + order] for start in range(len(joined) - order + 1))


def chrf(totals: FloatArray) -> FloatArray:
    """Return corpus chrF2, from the mean precision and recall over the orders that both sides have, as sacreBLEU."""
    given, wanted, both = (totals[..., start::3] for start in range(3))
    counted = (given > 0) & (wanted > 0)
    order_count = np.maximum(counted.sum(axis=-1), 1)
    precision = (both / np.where(counted, given, 1) * counted).sum(axis=-1) / order_count
    recall = (both / np.where(counted, wanted, 1) * counted).sum(axis=-1) / order_count
    weighted = RECALL_WEIGHT * precision + recall
    value = 100 * (1 + RECALL_WEIGHT) * precision * recall / np.where(weighted > 0, weighted, 1)
    return np.asarray(value, dtype=np.float64)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)

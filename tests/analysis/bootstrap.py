"""A paired bootstrap of one metric of two models, put together from the parts that reports use."""

from dataclasses import dataclass

from spillover.records import FloatArray
from spillover.statistics.paired import (
    LEVEL,
    RESAMPLE_COUNT,
    Combine,
    check_statistics,
    difference,
    differences,
    metric_value,
    percentile_interval,
    resample_counts,
    resampled_together,
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference ``value - base_value`` and its percentile interval."""

    difference: float
    low: float
    high: float
    value: float
    base_value: float

    @property
    def has_no_width(self) -> bool:
        """True when every resample gave the same difference, as when all examples are scored alike.

        That is a property of these examples; it is not certainty about others.
        """
        return self.low == self.high


def paired_bootstrap(
    base: FloatArray,
    variant: FloatArray,
    combine: Combine,
    *,
    seed: int,
    resample_count: int = RESAMPLE_COUNT,
    level: float = LEVEL,
) -> Interval:
    """Return the difference of a metric and its percentile interval, resampling the same examples for both models.

    Percentile bootstrap over examples (Efron and Tibshirani 1993, section 13.3); the examples are what is random,
    the models, the prompts and their demonstrations are held fixed.

    Args:
        base: Statistics ``(n, k)`` of the base, one row per example.
        variant: Statistics ``(n, k)`` of the variant, rows of the same examples in the same order.
        combine: The metric as a function of summed statistics.
        seed: Of the resampling; see `content_seed`.
        resample_count: How many resamples the interval rests on.
        level: Coverage of the interval, between 0 and 1.

    Raises:
        ValueError: On fewer than two examples, on arrays of different shape, and on any non-finite number.
    """
    if base.shape != variant.shape:
        raise ValueError(
            f"base has statistics of shape {base.shape}, the variant of {variant.shape}; expected the same"
        )
    check_statistics(base)
    check_statistics(variant)
    counts = resample_counts(len(base), seed=seed, resample_count=resample_count)
    low, high = percentile_interval(
        differences(resampled_values(variant, counts, combine), resampled_values(base, counts, combine)), level
    )
    value, base_value = metric_value(variant, combine), metric_value(base, combine)
    return Interval(difference(value, base_value), low, high, value, base_value)


def resampled_values(statistics: FloatArray, counts: FloatArray, combine: Combine) -> FloatArray:
    """Return the metric of each resample, ``(resample_count,)``, from counts ``(resample_count, n)``."""
    (values,) = resampled_together([(statistics, combine)], counts)
    return values

import pytest

from spillover.analysis.wording import counts, enumerated, interval_words, named, plain, scientific, signed


def test_numbers_are_written_with_true_signs() -> None:
    assert [signed(value) for value in (0.214, -0.05, 0.004, -0.004, 0)] == [
        "+0.21",
        "−0.05",
        "±0.00",
        "±0.00",
        "±0.00",
    ]
    assert [plain(value) for value in (0.5, -0.5, -0.001)] == ["0.50", "−0.50", "0.00"]
    assert (signed(-0.0042, 3), plain(0.0042, 3)) == ("−0.004", "0.004")


def test_an_end_close_to_zero_shows_its_side() -> None:
    assert interval_words(0.004, 0.21) == "[0.004, 0.210]"
    assert interval_words(-0.125, 0.0004) == "[−0.1250, 0.0004]"
    assert interval_words(-0.09, -0.012) == "[−0.09, −0.01]"
    assert interval_words(0, 0) == "[0.00, 0.00]"
    assert interval_words(None, None) == "(no interval)"


def test_a_few_names_are_given_and_the_others_counted() -> None:
    assert named(["a", "b", "c"]) == "a, b, c"
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert named(["a", "b"], most=1) == "a and 1 more"


@pytest.mark.parametrize(
    ("value", "written"),
    [(4.9e-4, "4.90 × 10⁻⁴"), (-2e-5, "−2.00 × 10⁻⁵"), (0.3041, "0.304"), (-0.25, "−0.25"), (0, "0")],
)
def test_a_small_number_is_written_with_its_power_of_ten_and_others_as_they_are(value: float, written: str) -> None:
    assert scientific(value) == written


def test_names_are_enumerated_and_reasons_counted() -> None:
    assert [enumerated("a"), enumerated("ab"), enumerated("abc")] == ["a", "a and b", "a, b and c"]
    assert counts({"equals another": 1200, "too long": 0, "empty": 2}) == "1,200 equals another; 2 empty"
    assert counts({"too long": 0}) == "none"

import pytest

from spillover.errors import UserError
from spillover.settings import parse_settings
from spillover.tasks.generated import GeneratedSource


def parse(**settings):
    return parse_settings(GeneratedSource, settings, where="suite")


def test_later_rows_of_a_source_are_the_same_however_many_are_asked_for():
    every = parse(generated="sort", count=6).rows()
    assert parse(generated="sort", start=4, count=2).rows() == every[4:]


def test_the_digest_is_that_of_the_rows():
    assert parse(generated="sort", count=6).digest() == parse(generated="sort", count=6).digest()
    assert parse(generated="sort", count=6).digest() != parse(generated="sort", count=5).digest()
    half, none = (parse(generated="facts-told", count=10, false_share=share).digest() for share in (0.5, 0))
    assert half != none


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"generated": "cpy", "count": 1}, "suite: unknown kind of generated rows 'cpy'; did you mean 'copy'"),
        ({"generated": "copy", "count": 1, "false_share": 0.5}, "suite: false_share is for facts; 'copy' has none"),
        ({"generated": "copy", "count": 0}, "suite: count is 0; it should be greater than 0"),
    ],
)
def test_mistakes_are_named(settings, line):
    with pytest.raises(UserError) as caught:
        parse(**settings)
    assert str(caught.value).startswith(line)

"""Records out of JSON: the fields asked for, wherever they stand, and the place of what is missing."""

from dataclasses import dataclass

import pytest

from voxsds.files.expect import as_record


@dataclass(frozen=True)
class Ends:
    start: float
    end: float


@dataclass(frozen=True)
class Facts:
    margin: Ends
    steps: int


def test_a_record_takes_its_fields_and_leaves_the_rest():
    given = {"steps": 3, "margin": {"start": 0.1, "end": 0.3, "more": 1}, "loss": 2.0}
    assert as_record(given, Facts, "metrics.json") == Facts(Ends(0.1, 0.3), 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"margin": {"start": 0.1, "end": 0.3}}, "metrics.json: steps is missing; run the stage again"),
        ({"steps": 3, "margin": {"start": 0.1}}, "metrics.json: margin: end is missing"),
        ({"steps": 3, "margin": 0.1}, "metrics.json: margin is 0.1; it must be an object"),
        ([], "metrics.json is \\[\\]; it must be an object"),
    ],
)
def test_what_is_missing_or_no_object_is_named_by_its_place(given, message):
    with pytest.raises(ValueError, match=message):
        as_record(given, Facts, "metrics.json")

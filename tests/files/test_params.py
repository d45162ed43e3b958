"""params.yaml: complete and of the right kinds, or every problem at once."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from voxsds.files.params import read_params, read_section, read_value


@dataclass(frozen=True)
class Ends:
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.start <= 0:
            raise ValueError(f"start is {self.start}; give more than 0")


@dataclass(frozen=True)
class Settings:
    steps: int
    rate: float
    clamp: bool
    levels: tuple[int, ...]
    betas: tuple[float, float]
    weight: Literal["as", "one", 1]
    schedule: Ends
    note: str | None
    names: list[str]
    others: dict[str, Ends]
    range: tuple[float, float] | float
    cache: Path
    spare: int = 3


SOUND: dict[str, Any] = {
    "steps": 4,
    "rate": 1,
    "clamp": True,
    "levels": [1, 2, 4],
    "betas": [0.9, 1],
    "weight": "as",
    "schedule": {"start": 1, "end": 0.5},
    "note": None,
    "names": ["a"],
    "others": {"x": {"start": 1, "end": 2}},
    "range": [0, 1],
    "cache": "out/cache",
}
# What is changed in the sound section, and what must be said of it.
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a float for an integer": ({"steps": 4.0}, "train.steps is the float 4.0; write a whole number"),
    "a truth for an integer": ({"steps": True}, "train.steps is the bool True; write a whole number"),
    "a truth for a float": ({"rate": True}, "train.rate is the bool True; write a number"),
    "an exponent without a point": ({"rate": "1e-3"}, "the text '1e-3'; write a number, as 0.001"),
    "words for a number": ({"rate": "fast"}, "train.rate is the text 'fast'; write a number"),
    "infinity": ({"rate": float("inf")}, "train.rate is the float inf; write a finite number"),
    "nothing": ({"rate": None}, "train.rate is empty; write a number"),
    "a number for a truth": ({"clamp": 1}, "train.clamp is the int 1; write true or false"),
    "a number for a list": ({"levels": 4}, "train.levels is the int 4; write tuple[int, ...]"),
    "text in a list": ({"levels": [1, "2"]}, "train.levels[1] is the text '2'; write a whole number"),
    "a list too long": ({"betas": [0.9, 0.99, 1.0]}, "train.betas has 3 entries; write 2"),
    "no choice": ({"weight": "ass"}, "is 'ass'; choose one of 'as', 'one', 1. Did you mean 'as'?"),
    "true for the choice 1": ({"weight": True}, "train.weight is True; choose one of"),
    "a number for a section": ({"schedule": 3}, "schedule is the int 3; write a section of keys"),
    "a section's own check": (
        {"schedule": {"start": 0, "end": 1}},
        "train.schedule: start is 0.0; give more",
    ),
    "deep": ({"others": {"x": {"start": 1, "end": "2"}}}, "train.others.x.end is the text '2'; write a"),
    "a list for a mapping": ({"others": []}, "train.others is the list []; write a section"),
    "a number for a name": ({"others": {3: {"start": 1, "end": 1}}}, "train.others, key 3 is the int 3"),
    "neither alternative": (
        {"range": "all"},
        "train.range is the text 'all'; write tuple[float, float] | float",
    ),
    "a number for optional text": ({"note": 3}, "train.note is the int 3; write text"),
    "a number for a path": ({"cache": 3}, "train.cache is the int 3; write a path"),
    "an unknown key": ({"stepz": 4}, "train.stepz is unknown; remove it. Did you mean 'steps'?"),
}


def test_a_sound_section_is_read_with_integers_as_floats_and_lists_as_tuples() -> None:
    read = read_section({"train": SOUND}, "train", Settings)
    assert read == Settings(
        steps=4,
        rate=1.0,
        clamp=True,
        levels=(1, 2, 4),
        betas=(0.9, 1.0),
        weight="as",
        schedule=Ends(1.0, 0.5),
        note=None,
        names=["a"],
        others={"x": Ends(1.0, 2.0)},
        range=(0.0, 1.0),
        cache=Path("out/cache"),
        spare=3,
    )
    assert type(read.rate) is type(read.betas[1]) is type(read.schedule.start) is float


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_section_is_refused_with_place_and_remedy(case: str) -> None:
    change, message = BROKEN[case]
    with pytest.raises(ValueError) as error:
        read_section({"train": {**SOUND, **change}}, "train", Settings, where="p.yaml")
    assert str(error.value).startswith("p.yaml: train")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_all_problems_are_listed_at_once() -> None:
    section = {key: value for key, value in SOUND.items() if key != "steps"}
    with pytest.raises(ValueError) as error:
        read_section({"train": {**section, "rate": "1e-3", "extra": 1}}, "train", Settings)
    assert sorted(str(error.value).split("\n")) == [
        "params.yaml: train.extra is unknown; remove it",
        "params.yaml: train.rate is the text '1e-3'; write a number, as 0.001",
        "params.yaml: train.steps is missing; add it (a whole number)",
    ]


def test_a_missing_section_is_named() -> None:
    with pytest.raises(ValueError, match=r"params.yaml: train is missing; add it. Did you mean 'trains'\?"):
        read_section({"trains": SOUND}, "train", Settings)


def test_a_scalar_is_read_strictly_too() -> None:
    assert read_value({"lr": 1}, "lr", float) == 1.0
    with pytest.raises(ValueError, match="lr is the text '4e1'; write a number, as 40$"):
        read_value({"lr": "4e1"}, "lr", float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", r"p.yaml: holds the list \[1\] instead of keys and values; write lines like"),
        ("", "p.yaml: holds empty instead of keys"),
        ("a: [1\n", "p.yaml: not YAML .*mend that line"),
        ("a: 1\nb: {c: 1, c: 2}\n", r"p.yaml: the key 'c' stands twice \(again in line 2\); remove one"),
        ("a: !!python/object:os.system {}\n", "p.yaml: not YAML"),
    ],
)
def test_a_file_that_holds_no_parameters_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_params(tmp_path / "p.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="p.yaml: there is no such file; run from"):
        read_params(tmp_path / "p.yaml")


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(),
    ends=st.builds(Ends, st.floats(1e-6, 1e6), st.floats(-1e6, 1e6)),
    levels=st.lists(st.integers(1, 64), max_size=4),
    note=st.none() | st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
)
def test_what_yaml_dumps_reads_back(
    tmp_path_factory: pytest.TempPathFactory, steps: int, ends: Ends, levels: list[int], note: str | None
) -> None:
    section = {**SOUND, "steps": steps, "schedule": asdict(ends), "levels": levels, "note": note}
    path = tmp_path_factory.mktemp("params") / "p.yaml"
    path.write_text(yaml.safe_dump({"train": section}))
    read = read_section(read_params(path), "train", Settings)
    assert (read.steps, read.schedule, read.levels, read.note) == (steps, ends, tuple(levels), note)


@dataclass(frozen=True)
class Round:
    kind: Literal["round"]
    radius: float


@dataclass(frozen=True)
class Square:
    kind: Literal["square", "box"]
    side: int


@dataclass(frozen=True)
class Shape:
    outline: Round | Square


def outline(**values: Any) -> Round | Square:
    return read_section({"shape": {"outline": values}}, "shape", Shape).outline


def test_a_section_is_read_by_its_kind():
    assert outline(kind="round", radius=2) == Round("round", 2.0)
    assert outline(kind="box", side=3) == Square("box", 3)


@pytest.mark.parametrize(
    "values, said",
    [
        (
            {"kind": "rond", "radius": 1},
            "outline.kind is 'rond'; choose one of 'round', 'square', 'box'. Did",
        ),
        ({"radius": 1}, "outline.kind is missing; add it .one of round, square, box"),
        ({"kind": "round", "side": 3}, "outline.side is unknown; remove it\n.*outline.radius is missing"),
        ({"kind": 3}, "outline.kind is 3; choose one of"),
    ],
)
def test_only_the_kind_that_is_named_is_held_against_a_section(values, said):
    with pytest.raises(ValueError, match=said):
        outline(**values)
    with pytest.raises(ValueError, match="shape.outline is the text 'round'; write a section"):
        read_section({"shape": {"outline": "round"}}, "shape", Shape)

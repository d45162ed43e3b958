"""Folders of a checkout, and what its params.yaml says.

A command is run by a person in a checkout, as a stage is by DVC, so it may read the parameters; the library
below still may not. This is the one module of the command line that does.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

PARAMS = Path("params.yaml")

MapId = Annotated[
    str, typer.Option("--map", metavar="ID", help="Which map: the folder in maps/ and datasets/.")
]
Optimized = Annotated[bool, typer.Option("--optimized", help="The result of a run in place of its input.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def examples(*lines: str) -> str:
    """Examples for the end of a help page; \\b keeps their lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def map_folder(map_id: str) -> Path:
    """maps/<id>; ValueError for an id that is no plain name, or outside a checkout."""
    return _folder("maps", map_id)


def dataset_folder(map_id: str) -> Path:
    """datasets/<id>, likewise."""
    return _folder("datasets", map_id)


def _folder(kind: str, map_id: str) -> Path:
    if not re.fullmatch(r"\w[\w-]*", map_id):
        raise ValueError(f"map {map_id!r}: an id has letters, digits, _ and -; give one such as 3 or castle")
    if not PARAMS.is_file():
        raise ValueError(f"there is no {PARAMS} here; run from the repository's root")
    return Path(kind) / map_id


def map_file(map_id: str, optimized: bool) -> Path:
    """The map of that id, or what a run made of it; ValueError with the remedy where there is none."""
    file = map_folder(map_id) / ("map_optimized.json" if optimized else "map.json")
    if file.is_file():
        return file
    if optimized:
        raise ValueError(f"{file}: there is none yet; make one with: dvc exp run -S map_id={map_id}")
    there = sorted(folder.parent.name for folder in Path("maps").glob("*/map.json"))
    raise ValueError(f"{file}: there is no such map, there are {', '.join(there) or 'none'}; "
                     f"bring one with: voxsds import FILE --map {map_id}")  # fmt: skip


def palette() -> Any:
    """The Palette that `palette` names, of which the maps are made."""
    from voxsds.files.params import read_params, read_value
    from voxsds.world.palette import read_palette

    return read_palette(read_value(read_params(PARAMS), "palette", str))


def pose_law() -> Any:
    """The section `poses`: the PoseLaw that the teacher's images were taken by."""
    from voxsds.files.params import read_params, read_section
    from voxsds.world.poses import PoseLaw

    return read_section(read_params(PARAMS), "poses", PoseLaw)


def teachers() -> tuple[dict[str, Any], str]:
    """TeacherSettings of every entry, or what is wrong with it, by name; and the name of the chosen one."""
    from voxsds.files.params import read_params, read_section, read_value
    from voxsds.guidance.load import TeacherSettings

    params = read_params(PARAMS)
    entries, found = read_value(params, "teachers", dict), {}
    for name in entries:
        try:
            found[name] = read_section(entries, name, TeacherSettings, f"{PARAMS}: teachers")
        except ValueError as error:
            found[name] = str(error)
    chosen = read_value(params, "guidance", str)
    if chosen not in found:
        raise ValueError(f"{PARAMS}: guidance is {chosen!r}; choose one of {', '.join(found)}")
    return found, chosen

"""dvc.yaml names the folders of a stage's code. DVC follows no imports: a missed one leaves stale results."""

import ast
import re
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
PIPELINE = [name for name in STAGES if name != "check"]  # which reads everything and computes nothing

# Files in a stage's folders that it does not import: a change of these reruns it for nothing.
BESIDE: dict[str, set[str]] = {
    "gradcheck": {"grid/file", "render/draw", "world/poses", "world/snapshots"},
    "init_grid": {"world/poses", "world/snapshots"},
    "train": {"blocks/counts", "render/draw"},
    "export": {"blocks/counts", "world/datasets", "world/poses"},
    "validate": {"blocks/settle", "blocks/tidy"},
}


@pytest.fixture(scope="module")
def graph():
    """Who imports whom, imports inside functions included."""
    return grimp.build_graph("voxsds", "stages", cache_dir=None)


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def used(graph, stage: str) -> set[str]:
    """Every source file that running a stage can execute, as dvc.yaml would write it."""
    modules = {f"stages.{stage}"} | graph.find_upstream_modules(f"stages.{stage}")
    return {source(name).relative_to(ROOT).as_posix() for name in modules if is_code(source(name))}


def is_code(path: Path) -> bool:
    """Whether a file does anything; an __init__.py of a sentence does not."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def listed(stage: str) -> tuple[str, ...]:
    """The files and folders of code that dvc.yaml names for a stage."""
    return tuple(dep for dep in STAGES[stage]["deps"] if dep.startswith(("voxsds", "stages")))


def lies_in(file: str, places: tuple[str, ...]) -> bool:
    return any(file == place or file.startswith(place + "/") for place in places)


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_that_a_stage_imports_lies_in_one_of_its_folders(graph, stage):
    missing = sorted(file for file in used(graph, stage) if not lies_in(file, listed(stage)))
    assert not missing, f"dvc.yaml, stage {stage}: add the folders of these to deps:\n" + "\n".join(missing)


@pytest.mark.parametrize("stage", PIPELINE)
def test_only_these_few_files_lie_there_beside(graph, stage):
    there = (path for place in listed(stage) for path in [ROOT / place, *(ROOT / place).rglob("*.py")])
    files = {path.relative_to(ROOT).as_posix() for path in there if path.suffix == ".py" and is_code(path)}
    beside = {file.removeprefix("voxsds/").removesuffix(".py") for file in files - used(graph, stage)}
    assert beside == BESIDE[stage]


@pytest.mark.parametrize("stage", PIPELINE)
def test_no_folder_is_named_that_the_stage_does_not_use(graph, stage):
    assert [p for p in listed(stage) if not any(lies_in(file, (p,)) for file in used(graph, stage))] == []


def test_an_edit_of_the_report_retrains_nothing():
    """Nor of validation, captions, formats or the command line."""
    report = ("voxsds/report", "voxsds/validate", "voxsds/captions", "voxsds/formats", "voxsds/cli")
    for stage in ("gradcheck", "init_grid", "train", "export"):
        assert not [place for place in listed(stage) if lies_in(place, report)], stage


def test_every_stage_runs_after_the_parameters_were_checked():
    """By its own inputs, or by those of a stage before it."""
    checked = {"out_local/check/params.json"}
    for stage in PIPELINE:
        assert any(lies_in(dep, tuple(checked)) for dep in STAGES[stage]["deps"]), stage
        checked |= {out if isinstance(out, str) else next(iter(out)) for out in STAGES[stage]["outs"]}


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_parameter_that_a_stage_reads_is_tracked(stage):
    files = [ROOT / place for place in listed(stage) if place.startswith("stages/")]
    code = "".join(path.read_text() for path in files)
    reads = re.findall(r'params\["(\w+)"\]|read_(?:section|value)\(\s*params, "(\w+)"', code)
    tracked = {entry.split(".")[0] for entry in STAGES[stage]["params"]}
    read = {a or b for a, b in reads} - {"teachers"}  # of which the chosen entry is tracked
    assert read and read <= tracked, f"dvc.yaml, stage {stage}: add to params: {sorted(read - tracked)}"


def test_each_stage_is_run_by_the_module_of_its_name():
    assert {name: stage["cmd"] for name, stage in STAGES.items()} == {
        name: f"python -m stages.{name}" for name in STAGES
    }


def test_every_tracked_parameter_exists():
    tracked = {entry.split(".")[0] for stage in PIPELINE for entry in STAGES[stage]["params"]}
    assert tracked <= set(PARAMS)


def test_what_training_makes_can_be_reused_from_the_run_cache():
    """`persist` or `cache: false` on one output of a stage turns DVC's run cache off for it."""
    assert all(isinstance(out, str) for out in STAGES["train"]["outs"])


def test_the_file_is_short_enough_to_be_read():
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 120

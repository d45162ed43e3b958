"""dvc.yaml names every file that a stage uses. DVC follows no imports: a missed one leaves stale results."""

import ast
import re
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ASSETS = {".j2", ".css", ".js"}  # read by the code that names them
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture(scope="module")
def graph():
    """Who imports whom, imports inside functions included."""
    return grimp.build_graph("voxsds", "stages", cache_dir=None)


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def used_files(graph, module: str) -> set[str]:
    """Every source file that running `module` can execute, as dvc.yaml writes them."""
    modules = {module} | graph.find_upstream_modules(module)
    packages = {name.rpartition(".")[0] for name in modules} - {"voxsds", "stages"}
    for package in packages:
        modules |= {package} | graph.find_upstream_modules(package)
    files = {source(name) for name in modules}
    code = {path for path in files if ast.parse(path.read_text()).body}  # an empty __init__.py does nothing
    assets = {
        a
        for path in code
        for a in path.parent.rglob("*")
        if a.suffix in ASSETS and f'"{a.name}"' in path.read_text()
    }
    return {path.relative_to(ROOT).as_posix() for path in code | assets} - {"voxsds/__init__.py"}


def listed(name: str) -> set[str]:
    """The source files that dvc.yaml names for a stage."""
    return {dep for dep in STAGES[name]["deps"] if dep.startswith(("voxsds/", "stages/"))}


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_file_that_a_stage_imports_is_a_dependency(graph, name):
    missing = used_files(graph, f"stages.{name}") - listed(name)
    assert not missing, f"dvc.yaml, stage {name}: add to deps:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize("name", sorted(STAGES))
def test_no_dependency_is_a_file_that_the_stage_does_not_import(graph, name):
    superfluous = listed(name) - used_files(graph, f"stages.{name}")
    assert not superfluous, f"dvc.yaml, stage {name}: remove from deps:\n" + "\n".join(sorted(superfluous))


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_parameter_that_a_stage_reads_is_tracked(name):
    code = (ROOT / f"stages/{name}.py").read_text()
    read = {a or b for a, b in re.findall(r'params\["(\w+)"\]|read_section\(\s*params, "(\w+)"', code)}
    tracked = {entry.split(".")[0] for entry in STAGES[name]["params"]}
    assert read <= tracked, f"dvc.yaml, stage {name}: add to params: {sorted(read - tracked)}"


def test_each_stage_is_run_by_the_module_of_its_name():
    assert {name: stage["cmd"] for name, stage in STAGES.items()} == {
        name: f"python -m stages.{name}" for name in STAGES
    }


def test_every_tracked_parameter_exists():
    tracked = {entry.split(".")[0] for stage in STAGES.values() for entry in stage["params"]}
    assert tracked <= set(PARAMS)


def test_what_training_makes_can_be_reused_from_the_run_cache():
    """`persist` or `cache: false` on one output of a stage turns DVC's run cache off for it."""
    assert all(isinstance(out, str) for out in STAGES["train"]["outs"])

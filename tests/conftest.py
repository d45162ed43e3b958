"""What holds for all tests."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("voxsds", deadline=None)
settings.load_profile("voxsds")

# Without a GPU, Triton's kernels are tested in its interpreter, which must be asked for before their import.
if not torch.cuda.is_available() and os.environ.get("REQUIRE_CUDA") != "1":
    os.environ.setdefault("TRITON_INTERPRET", "1")


# Workers run side by side, a core each.
WORKER = "PYTEST_XDIST_WORKER" in os.environ
if WORKER:
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The longest file first, lest one worker ends up alone with it; what needs a GPU only where one is.

    Tests marked `cuda` are skipped without a GPU, unless REQUIRE_CUDA=1 asks for them to fail.
    """
    items.sort(key=lambda item: item.path.name != "test_docs.py")
    if torch.cuda.is_available() or os.environ.get("REQUIRE_CUDA") == "1":
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; where there is none the test is skipped, and the skip says what is missing."""
    from scripts.photograph import browser  # not above: the shape checks must see voxsds being imported

    try:
        with browser() as started:
            yield started
    except ValueError as error:
        pytest.skip(f"needs a browser: {error}")


@pytest.fixture(scope="session")
def first_run(tmp_path_factory) -> Path:
    """The checkout of tests.helpers.newcomer, made once for all workers; only to be copied."""
    from tests.helpers.newcomer import made_once  # not above, for the same reason

    own = tmp_path_factory.getbasetemp()
    return made_once((own.parent if WORKER else own) / "first_run")


@pytest.fixture(scope="module")
def project(first_run, tmp_path_factory) -> Path:
    """A checkout in which the whole pipeline has run once; a module may do with it what it likes."""
    return Path(shutil.copytree(first_run, tmp_path_factory.mktemp("newcomer") / "voxsds", symlinks=True))

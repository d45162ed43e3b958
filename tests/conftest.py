"""What holds for all tests."""

import os

import pytest
import torch
from hypothesis import settings

# How long one example takes says more about the machine's other work than about the code.
settings.register_profile("voxsds", deadline=None)
settings.load_profile("voxsds")

# Without a GPU, Triton's kernels are tested in its interpreter, which must be asked for before their import.
if not torch.cuda.is_available() and os.environ.get("REQUIRE_CUDA") != "1":
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_collection_modifyitems(items):
    """Tests marked `cuda` are skipped without a GPU, unless REQUIRE_CUDA=1 asks for them to fail."""
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
def project(tmp_path_factory):
    """One checkout in which the whole pipeline has run once; see tests.helpers.newcomer."""
    from tests.helpers.newcomer import make_checkout  # not above, for the same reason

    return make_checkout(tmp_path_factory.mktemp("newcomer") / "voxsds")

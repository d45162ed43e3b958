"""Fixtures around one pipeline folder with random weights; a test module names this in pytest_plugins."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from tests.helpers.teachers import PROMPT, teacher_settings
from tests.helpers.tiny_pipeline import save_tiny_pipeline
from voxsds.guidance.sdxl.teacher import SdxlTeacher
from voxsds.guidance.teacher import Question


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are slower on more threads, and much slower where other work runs beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("prompts")


@pytest.fixture(scope="session")
def pipeline(folder) -> StableDiffusionXLPipeline:
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def teacher(folder, cache) -> SdxlTeacher:
    settings = teacher_settings(folder)
    return SdxlTeacher.load(settings.model, settings.ask, cache)


@pytest.fixture(scope="session")
def question(teacher) -> Question:
    """The prompt against nothing in particular, as that teacher reads it."""
    return teacher.read(PROMPT, None)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A copy of the folder that a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))

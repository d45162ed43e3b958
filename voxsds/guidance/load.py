"""The teacher of an entry of params.yaml: the one module that knows which families there are."""

from pathlib import Path
from typing import assert_never

from voxsds.guidance.teacher import Needs, Teacher, TeacherSettings


def load_teacher(settings: TeacherSettings, prompt: str, cache: Path, device: str = "cpu") -> Teacher:
    """The teacher of `settings`, ready for `prompt`; prompt embeddings are kept under `cache`.

    ValueError where it cannot be used, or `clamp` is on and nobody measured its latents.
    """
    teacher = _loaded(settings, prompt, cache, device)
    if settings.clamp and teacher.latent_range is None:
        raise ValueError(
            f"{settings.model} has no latent_range.json, which clamp needs: write "
            '{"low": [...], "high": [...]}, one number a channel, into its folder or set clamp: false'
        )
    return teacher


def _loaded(settings: TeacherSettings, prompt: str, cache: Path, device: str) -> Teacher:
    match settings.kind:
        case "sdxl":
            from voxsds.guidance.sdxl.teacher import SdxlTeacher

            return SdxlTeacher.load(settings, prompt, cache, device)
        case "oracle":
            from voxsds.guidance.oracle import OracleTeacher

            return OracleTeacher.from_map(settings, device)
        case _:
            assert_never(settings.kind)


def needs_of(settings: TeacherSettings, ask_hub: bool = False) -> Needs:
    """Files and memory that a teacher needs; `ask_hub` asks the Hub how large the missing ones are."""
    match settings.kind:
        case "sdxl":
            from voxsds.guidance.sdxl.needs import needs

            return needs(settings, ask_hub)
        case "oracle":
            from voxsds.guidance.oracle import needs

            return needs(settings)
        case _:
            assert_never(settings.kind)

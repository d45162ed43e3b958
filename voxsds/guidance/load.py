"""The teacher of an entry of params.yaml: the one module that knows which families there are.

A family is a module with the functions of `Family`, a dataclass of what to load, and a case here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, assert_never, runtime_checkable

from voxsds.guidance.ask import AskSettings
from voxsds.guidance.oracle import OracleModel
from voxsds.guidance.sdxl.settings import SdxlModel
from voxsds.guidance.teacher import Needs, Teacher

Model = SdxlModel | OracleModel


@dataclass(frozen=True)
class TeacherSettings:
    """One entry of params.yaml's `teachers`."""

    model: Model  # what to load
    ask: AskSettings  # and how to ask it


@runtime_checkable
class Family(Protocol):
    """The functions by which a family's module makes its kind of model a teacher."""

    def load(self, model: Any, ask: AskSettings, cache: Path, device: str, texts: Sequence[str]) -> Teacher:
        """The teacher on `device`; it keeps under `cache` what it reads texts as.

        `texts` will be read: where that needs networks of its own they can be gone before the large ones
        come. ValueError where it cannot be asked as `ask` says.
        """
        ...

    def needs(self, model: Any, ask_hub: bool) -> Needs:
        """Files and memory; `ask_hub` asks the Hub how large the missing ones are. Downloads nothing."""
        ...

    def inputs(self, model: Any) -> list[Path]:
        """Files and folders on this machine that the teacher's answers depend on."""
        ...

    def vocabulary(self, model: Any) -> frozenset[str] | None:
        """The words it was taught, None where it may know any; ValueError where the model is not here."""
        ...


def family(model: Model) -> Family:
    """The module of the family of `model`, which imports what only that needs."""
    match model:
        case SdxlModel():
            from voxsds.guidance.sdxl import family

            return family
        case OracleModel():
            from voxsds.guidance import oracle

            return oracle
        case _:
            assert_never(model)


def load_teacher(
    settings: TeacherSettings, cache: Path, device: str = "cpu", texts: Sequence[str] = ()
) -> Teacher:
    """The teacher of `settings`, which reads texts fastest where they are named in `texts` already.

    ValueError where it cannot be used, or `clamp` is on and nobody measured its latents.
    """
    teacher = family(settings.model).load(settings.model, settings.ask, cache, device, texts)
    if settings.ask.clamp and teacher.latent_range is None:
        raise ValueError(
            f"this {settings.model.kind} teacher has no latent_range.json, which clamp needs: write "
            '{"low": [...], "high": [...]}, one number a channel, into its folder or set clamp: false'
        )
    return teacher

"""Diagnosis of this machine: parts of the project that work, and what to do about the rest."""

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch

from voxsds.cli.pictures import LOOK
from voxsds.guidance.load import TeacherSettings, family
from voxsds.guidance.teacher import Needs
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import BACKENDS, choose_backend, render
from voxsds.world.cameras import Frame
from voxsds.world.field import solid_field
from voxsds.world.palette import Palette
from voxsds.world.poses import orbit_pose

GREY = Palette(("Air", "Grey"), np.full((2, 3, 3), 0.5))  # of the block that backends are tried on


@dataclass(frozen=True)
class Package:
    """A package that the code imports."""

    name: str
    wanted: str  # the pinned version
    found: str | None

    @property
    def ok(self) -> bool:
        return self.found is not None and self.found.partition("+")[0] == self.wanted


@dataclass(frozen=True)
class Backend:
    """A backend of the renderer, tried on a small world."""

    name: str
    problem: str | None
    milliseconds: float | None  # for one image of 64 x 64 pixels, after a first


@dataclass(frozen=True)
class TeacherReport:
    """One entry of params.yaml's teachers."""

    name: str
    chosen: bool
    needs: Needs | None
    problem: str | None  # of the entry itself


@dataclass(frozen=True)
class Machine:
    """Processor, memory and graphics cards of this machine."""

    python: str
    system: str
    cores: int
    memory: int  # bytes
    gpus: tuple[tuple[str, int], ...]  # names, bytes of memory

    @property
    def room(self) -> int:
        """Bytes that a teacher can have: of the GPU, where there is one."""
        return max((size for _, size in self.gpus), default=self.memory)


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `voxsds doctor` says."""

    machine: Machine
    packages: tuple[Package, ...]
    backends: tuple[Backend, ...]
    auto: str  # the backend that `auto` takes
    teachers: tuple[TeacherReport, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems that keep the chosen teacher from being run, each with the remedy."""
        wrong = [package for package in self.packages if not package.ok]
        found = [f"{p.name} is {p.found or 'missing'}, {p.wanted} is pinned; run make env" for p in wrong]
        if not any(backend.name == self.auto and backend.problem is None for backend in self.backends):
            found.append(
                f"the renderer {self.auto} does not work; set the backends in params.yaml to reference"
            )
        for teacher in (teacher for teacher in self.teachers if teacher.chosen):
            found += self._problems_of(teacher)
        return tuple(found)

    def _problems_of(self, teacher: TeacherReport) -> list[str]:
        if teacher.needs is None:
            return [f"teacher {teacher.name}: {teacher.problem}"]
        sources = [
            f"teacher {teacher.name}: {s.name}: {s.problem}" for s in teacher.needs.sources if s.problem
        ]
        weights = max(teacher.needs.weights or 0, teacher.needs.loading or 0)
        if weights > self.machine.room:
            sources.append(
                f"teacher {teacher.name}: its weights take {weights / 1e9:.1f} GB, there are "
                f"{self.machine.room / 1e9:.1f} GB; choose a smaller teacher or dtype"
            )
        return sources


def diagnose(
    teachers: Mapping[str, TeacherSettings | str],  # settings, or why an entry could not be read
    chosen: str,
    ask_hub: bool = False,
) -> Diagnosis:
    """Looks at everything; `ask_hub` asks the Hub how large missing models are, and nothing else goes out."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Diagnosis(
        machine=machine(),
        packages=packages(),
        backends=tuple(try_backend(name, device) for name in BACKENDS if name != "auto"),
        auto=choose_backend("auto", device),
        teachers=tuple(_teacher(name, entry, name == chosen, ask_hub) for name, entry in teachers.items()),
    )


def machine() -> Machine:
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Machine(
        python=platform.python_version(),
        system=platform.platform(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=tuple((gpu.name, gpu.total_memory) for gpu in gpus),
    )


def packages() -> tuple[Package, ...]:
    """The project's direct requirements, as its installed metadata pins them; itself where it has none."""
    try:
        wanted = metadata.requires("voxsds") or []
    except metadata.PackageNotFoundError:
        return (Package("voxsds", "an installation", None),)
    pins = [line.partition("==") for line in wanted if "extra ==" not in line]
    return tuple(Package(name, version, _version(name)) for name, _, version in pins)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def try_backend(name: str, device: torch.device) -> Backend:
    """Draws a block; whatever a backend raises is what is wrong with it."""
    blocks = np.zeros((4, 4, 4), np.int64)
    blocks[1:3, 1:3, 1:3] = 1
    opacity, material = (part.to(device) for part in solid_field(blocks, len(GREY) - 1))
    frame, lit = Frame((2.0, 2.0)), lit_faces(GREY)
    rays = ray_bundle([orbit_pose(LOOK, (4, 4, 4), frame, 64, 30.0, 30.0, 1.45)], frame, device=device)
    seconds = []
    for _ in range(2):  # the first compiles
        start = time.perf_counter()
        try:
            covered = render(opacity, material, lit, rays, backend=name).rgba[0, 3].cpu()
        except Exception as error:  # kernels fail in as many ways as there are drivers
            return Backend(name, f"{type(error).__name__}: {error}", None)
        seconds.append(time.perf_counter() - start)
        if not (covered[32, 32] > 0.99 and covered[0, 0] < 0.01):
            return Backend(name, "draws blocks where there are none, or none where there are", None)
    return Backend(name, None, 1000 * seconds[1])


def _teacher(name: str, entry: TeacherSettings | str, chosen: bool, ask_hub: bool) -> TeacherReport:
    if isinstance(entry, str):
        return TeacherReport(name, chosen, None, entry)
    try:
        return TeacherReport(name, chosen, family(entry.model).needs(entry.model, ask_hub), None)
    except ValueError as error:
        return TeacherReport(name, chosen, None, str(error))

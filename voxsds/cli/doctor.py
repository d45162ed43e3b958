"""voxsds doctor."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from voxsds.cli.output import gigabytes, print_json, print_table
from voxsds.cli.project import AsJson, examples, teachers

if TYPE_CHECKING:
    from voxsds.cli.diagnosis import Diagnosis, TeacherReport

EXAMPLES = examples("voxsds doctor", "voxsds doctor --teacher sdxl --online", "voxsds doctor --json")


def doctor(
    teacher: Annotated[
        str | None, typer.Option(help="The entry of `teachers` that has to work; else that of guidance.")
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the Hub how large missing models are.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check what works on this machine. What to do about the rest is said; exit code 1 if anything is."""
    from voxsds.cli.diagnosis import diagnose

    entries, chosen = teachers()
    if teacher is not None and teacher not in entries:
        raise typer.BadParameter(f"{teacher!r} is none of the teachers {', '.join(entries)}")
    found = diagnose(entries, teacher or chosen, online)
    if json:
        print_json({**asdict(found), "problems": list(found.problems)})
    else:
        _print(found)
    if found.problems:
        raise typer.Exit(1)


def _print(found: "Diagnosis") -> None:
    machine = found.machine
    print(f"machine: Python {machine.python}, {machine.cores} cores, {gigabytes(machine.memory)} of memory")
    for name, size in machine.gpus:
        print(f"         {name}, {gigabytes(size)}")
    print(f"         {'' if machine.gpus else 'no GPU; '}{machine.system}\n")
    print_table(
        ("package", "pinned", "found"), [(p.name, p.wanted, p.found or "missing") for p in found.packages]
    )
    print()
    rows = [
        (b.name + " (auto)" * (b.name == found.auto), "does not work" if b.problem else "works",
         "" if b.milliseconds is None else f"{b.milliseconds:.1f} ms")
        for b in found.backends
    ]  # fmt: skip
    print_table(("renderer", "state", "64 x 64 pixels"), rows, numbers=(2,))
    for backend in found.backends:
        if backend.problem:
            print(f"  {backend.name}: {backend.problem}")
    print()
    print_table(("teacher", "state", "weights in memory"), [_row(report) for report in found.teachers])
    for report in found.teachers:
        for source in report.needs.sources if report.needs else ():
            if source.problem:
                size = f" ({gigabytes(source.download)})" if source.download is not None else ""
                print(f"  {report.name}: {source.role} {source.name}{size}: {source.problem}")
    print("\nall is well" if not found.problems else "\nto do:")
    for problem in found.problems:
        print(f"- {problem}")


def _row(report: "TeacherReport") -> tuple[str, str, str]:
    name = report.name + " (chosen)" * report.chosen
    if report.needs is None:
        return name, report.problem or "", ""
    if not report.needs.ready:
        return name, "not here", ""
    peak = max(report.needs.weights or 0, report.needs.loading or 0)
    return name, "ready", gigabytes(peak)

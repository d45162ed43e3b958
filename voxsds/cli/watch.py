"""voxsds watch."""

from pathlib import Path
from typing import Annotated

import typer

from voxsds.cli.project import examples

EXAMPLES = examples("voxsds watch", "voxsds watch --port 0")


def watch(
    folder: Annotated[Path, typer.Argument(help="What the pipeline writes.")] = Path("out_local"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine; 0 for any.")] = 8765,
) -> None:
    """Show a running training in the browser. There are its progress, curves and current images."""
    from voxsds.cli.live.watch import watch

    watch(folder, port)

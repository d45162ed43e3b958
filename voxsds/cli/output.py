"""Output of the commands: text in columns for people, JSON for programs."""

import sys
from collections.abc import Sequence
from typing import Any


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Columns as wide as what is in them; those listed in `numbers` are flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            text.rjust(width) if i in numbers else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    from voxsds.files.disk import to_json  # with numpy, which --help need not wait for

    print(to_json(value))


def warn(text: str) -> None:
    """To stderr, as stdout may be read by a program."""
    print(f"warning: {text}", file=sys.stderr)


def gigabytes(size: int) -> str:
    """21.3 GB; under 0.1 GB as 63 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"

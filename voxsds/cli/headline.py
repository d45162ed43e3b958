"""Headline numbers of the report and its path, for a terminal.

python -m voxsds.cli.headline out_local/report
"""

import argparse
from pathlib import Path

from voxsds.files.disk import read_json
from voxsds.validate.criteria import headline_numbers


def headline(folder: Path) -> str:
    """A few lines about the report in `folder`."""
    figures = read_json(folder / "metrics.json")
    verdicts = figures["verdicts"]
    total = verdicts["passed"] + verdicts["failed"]
    lines = [f"{label:<44}{text}" for label, text in headline_numbers(figures)]
    lines.append(f"{'criteria passed':<44}{verdicts['passed']} of {total}")
    return "\n".join(["", *lines, "", f"report: {(folder / 'index.html').resolve()}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    print(headline(parser.parse_args().folder))


if __name__ == "__main__":
    main()

"""Headline numbers of the report and its path, for a terminal.

python -m voxsds.cli.headline out_local/report
"""

import argparse
from pathlib import Path

from voxsds.validate.headline import numbers, read_headline


def headline(folder: Path) -> str:
    """A few lines about the report in `folder`."""
    told = read_headline(folder / "metrics.json")
    verdicts = told.verdicts
    lines = [f"{label:<44}{text}" for label, text in numbers(told)]
    lines.append(f"{'criteria passed':<44}{verdicts.passed} of {verdicts.passed + verdicts.failed}")
    if verdicts.failures:
        lines.append(f"{'known failures found':<44}{verdicts.failures}")
    return "\n".join(["", *lines, "", f"report: {(folder / 'index.html').resolve()}"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    print(headline(parser.parse_args().folder))


if __name__ == "__main__":
    main()

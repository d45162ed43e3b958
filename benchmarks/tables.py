"""Tables as people read them."""

import pandas as pd


def markdown(table: pd.DataFrame) -> list[str]:
    """The lines of a Markdown table: the columns' names, and a line a row."""
    cells = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    return [f"| {' | '.join(map(str, line))} |" for line in cells]


def number(value: float | None, form: str, missing: str = "–") -> str:
    """`value` as `form` says; `missing` in place of None and of what is not a number."""
    return missing if pd.isna(value) else format(value, form)

"""The options of every command that reads training rows: which of them, and which columns."""

from typing import Any

import click

from llmattr.text.columns import parse_columns


class ColumnsType(click.ParamType):
    """`prompt=question,completion=answer` as a dict."""

    name = "COLUMNS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """What it says; raises `LlmattrError` where it says nothing."""
        return parse_columns(value) if isinstance(value, str) else value


ROWS_OPTIONS = [
    click.Option(["--split"], help="which split of a saved or hub set"),
    click.Option(
        ["--columns"],
        type=ColumnsType(),
        help="where the rows' columns have other names: prompt=question,completion=answer, or text with columns in braces",
    ),
]

"""Results as tables for people to read."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from hanse.cli.formats import ROW_KINDS
from hanse.cli.terminal import note, stdout_console
from hanse.cli.values import cell, is_number, plain_columns

if TYPE_CHECKING:
    from rich.table import Table

    from hanse.session.result import Result

__all__ = ["SHOWN_ROWS", "Tables", "summary"]

SHOWN_ROWS = 40
_NESTED_LIMIT = 60
_TEXT_LIMIT = 120
_WHOLE_TEXT = frozenset({"describe_model", "describe_table", "explain"})

_SUMMARIES = {
    "create_model": "model {model}, version {version}",
    "create_table": "table {table}: {rows:,} row(s)",
    "create_view": "view {view}",
    "drop_model": "dropped model {model}: {versions} version(s)",
    "drop_table": "dropped table {dropped}",
    "drop_view": "dropped view {dropped}",
    "export_model": "model {model}, version {version}: {bytes:,} bytes in {file}",
    "import_model": "model {model}, version {version}",
    "insert": "table {table}: {rows:,} row(s) added",
    "set": "{key} = {value}",
    "update_model": "model {model}, version {version}",
}
"""What statements that give no rows report."""


class Tables:
    """Each result as a table of at most ``rows`` rows (0: all), or a line on what a statement did."""

    def __init__(self, rows: int = SHOWN_ROWS) -> None:
        self._rows = rows

    def write(self, number: int, result: Result) -> None:
        """Show a result, and on a terminal how long it took."""
        if result.kind == "explain":
            self._explain(result)
        elif result.kind in ROW_KINDS:
            self._show(result)
        else:
            stdout_console().print(summary(result), markup=False, highlight=False, soft_wrap=True)
        if sys.stderr.isatty():
            note(f"{result.elapsed_s:.3f} s")

    def finish(self) -> None:
        """Nothing is held back."""

    def _show(self, result: Result) -> None:
        table = _empty_table(result)
        limits = _limits(result)
        shown = total = 0
        for batch in result.reader():
            total += batch.num_rows
            if self._rows and shown >= self._rows:
                continue
            batch = batch.slice(0, self._rows - shown) if self._rows else batch
            for row in zip(*plain_columns(batch), strict=True):
                table.add_row(*(_text(value, limit) for value, limit in zip(row, limits, strict=True)))
            shown += batch.num_rows
        console = stdout_console()
        console.print(table)
        if total > shown:
            more = total - shown
            console.print(f"… {more:,} more row{'s' * (more != 1)}", markup=False, highlight=False)
        elif total == 0:
            console.print("(no rows)", markup=False, highlight=False)

    def _explain(self, result: Result) -> None:
        for part, text in result:
            stdout_console().print(f"-- {part}\n{text}", markup=False, highlight=False, soft_wrap=True)


_PLURAL = re.compile(r"([0-9,]+) (\w+)\(s\)")


def summary(result: Result) -> str:
    """One line on what a statement did that gives no rows."""
    rows = list(result)
    if not rows:
        return "nothing to do"
    named: dict[str, Any] = dict(zip(result.columns, rows[0], strict=True))
    template = _SUMMARIES.get(result.kind)
    if template is None:
        return f"{result.kind.replace('_', ' ')}: " + ", ".join(f"{name} {value}" for name, value in named.items())
    return _PLURAL.sub(lambda m: f"{m[1]} {m[2]}{'s' * (m[1] != '1')}", template.format_map(named))


def _empty_table(result: Result) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for field in result.schema:
        justify = "right" if is_number(field.type) else "left"
        table.add_column(Text(cell(field.name, _NESTED_LIMIT)), justify=justify, overflow="fold")  # type: ignore[arg-type]  # a JustifyMethod
    return table


def _limits(result: Result) -> list[int]:
    import pyarrow as pa

    text = 0 if result.kind in _WHOLE_TEXT else _TEXT_LIMIT
    return [_NESTED_LIMIT if pa.types.is_nested(field.type) else text for field in result.schema]


def _text(value: Any, limit: int) -> Any:
    from rich.text import Text

    return Text("NULL", style="dim") if value is None else Text(cell(value, limit))

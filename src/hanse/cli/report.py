"""``hanse report``: a model's anomalies as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli.parameters import parse_parameters
from hanse.cli.terminal import TrainingStatus, warn
from hanse.errors import UsageError

if TYPE_CHECKING:
    from hanse.cli.commands import Place
    from hanse.report.data import Report

__all__ = ["ReportOptions", "write"]


@dataclass(frozen=True)
class ReportOptions:
    """What the command was asked for.

    Args:
        models: each as ``name`` or ``name:version``.
        output: the file.
        against: the global model.
        selects: of ``--select``.
        tables: of ``--table``.
        customer: of ``--id``.
        contamination: of ``--contamination``.
        threshold: of ``--threshold``.
        top: of ``--top``.
    """

    models: Sequence[str]
    output: str
    against: str | None
    selects: Sequence[str]
    tables: Sequence[str]
    customer: str | None
    contamination: float | None
    threshold: float | None
    top: int


def write(options: ReportOptions, place: Place, params: Sequence[str]) -> None:
    """Write the report, and say what it found and where it is."""
    parameters = parse_parameters(params)
    if options.selects and options.tables:
        raise UsageError("--select and --table: give the one or the other")
    path = place.path
    if path is not None and not path.exists():
        from hanse.errors import WorkspaceError

        raise WorkspaceError(f"workspace {path} does not exist: name one with --workspace, or make one with hanse demo")
    selects = list(options.selects) or [f"SELECT * FROM {_table(name)}" for name in options.tables]
    with place.open() as session, TrainingStatus() as status:
        report = session.report(
            list(options.models),
            options.output,
            against=options.against,
            select=selects,
            customer=options.customer,
            contamination=options.contamination,
            threshold=options.threshold,
            top=options.top,
            parameters=parameters,
            progress=status,
        )
        status.stop()
    for note in report.notes:
        warn(note)
    print(told(report, options.output))  # noqa: T201  # the command line speaks


def told(report: Report, output: str | Path) -> str:
    """The report's first sentence, and its path."""
    from hanse.report.words import headline

    return f"{headline(report)} The report: {output}"


def _table(name: str) -> str:
    """A table's name in SQL, whose parts may be quoted already."""
    if not name.strip():
        raise UsageError("--table is empty: name a table")
    if "`" in name:
        return name
    return ".".join(f"`{part}`" for part in name.split("."))

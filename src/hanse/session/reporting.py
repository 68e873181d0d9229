"""What a report shows, gathered through SQL text alone, and written as one file."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse import __version__
from hanse.errors import DataError, SqlError, UsageError, WorkspaceError
from hanse.report.data import ModelFacts, Report, Statement
from hanse.report.html import render
from hanse.session.learning import LoadedModel
from hanse.types import Parameters, Progress
from hanse.workspace import write_file

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["Gathering", "Wish", "literal", "quoted", "write_report"]

_NAMED = re.compile(r"(?P<name>.+):(?P<version>[1-9][0-9]*)")


@dataclass(frozen=True)
class Wish:
    """What a report is asked for.

    Args:
        models: each as ``name`` or ``name:version``; one part of the report for each.
        against: the global model that they are compared with, likewise.
        selects: whose customers, as SQL: one for each model, one for all, or none for the models' own training rows.
        customer: the column that names a customer; found where it is None.
        contamination: as of ``detect_anomalies``.
        threshold: likewise.
        top: how many anomalous customers are listed.
        parameters: for ``$name`` in the selects.
    """

    models: tuple[str, ...]
    against: str | None = None
    selects: tuple[str, ...] = ()
    customer: str | None = None
    contamination: float | None = None
    threshold: float | None = None
    top: int = 50
    parameters: Parameters = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: no model, too many selects, or a number out of range.
        """
        if not self.models:
            raise UsageError("a report of no model: name one; hanse models lists them")
        if len(self.selects) not in (0, 1, len(self.models)):
            what = f"{len(self.selects)} selects for {len(self.models)} model{'s'[: len(self.models) != 1]}"
            raise UsageError(f"{what}: give one for each model in the same order, one for all of them, or none")
        if self.contamination is not None and self.threshold is not None:
            raise UsageError("contamination and threshold: keep one of them")
        if self.contamination is not None and not 0 < self.contamination <= 0.5:
            raise UsageError(f"contamination = {self.contamination}: need a share above 0, at most 0.5")
        if not 1 <= self.top <= 1000:
            raise UsageError(f"top = {self.top}: need 1 to 1000 customers")

    @property
    def rule(self) -> str:
        """The options of the table functions, as SQL."""
        if self.threshold is not None:
            return f", threshold => {literal(self.threshold)}"
        return "" if self.contamination is None else f", contamination => {literal(self.contamination)}"


class Gathering:
    """Statements run for a report, each written down for its last page.

    Args:
        session: where they run.
        parameters: for ``$name``.
        progress: called for each statement.
    """

    def __init__(self, session: Session, parameters: Parameters, progress: Progress | None) -> None:
        self.session = session
        self.statements: list[Statement] = []
        self.warnings: list[str] = []
        self._parameters = parameters
        self._progress = progress

    def rows(self, title: str, sql: str) -> list[dict[str, Any]]:
        """Run a statement of ours; its rows by column.

        Raises:
            HanseError: any, without a place in a text that the user did not write.
        """
        if self._progress is not None:
            self._progress("gathering", {"statement": len(self.statements) + 1})
        self.statements.append(Statement(title, sql))
        try:
            result = self.session.sql(sql, self._parameters)
            names = result.columns
            found = [dict(zip(names, row, strict=True)) for row in result]
        except SqlError as error:
            raise type(error)(error.what, error.cure) from error
        self.warnings += [w for w in result.warnings if w not in self.warnings]
        return found

    def take(self, table: str, select: str, option: str) -> int:
        """Put a user's SELECT into a temporary table.

        Args:
            table: its name.
            select: as the user wrote it.
            option: what to call it in an error.

        Returns:
            rows.

        Raises:
            UsageError: it is not one SELECT.
            HanseError: any, with a place within the user's text.
        """
        from hanse.sql import nodes
        from hanse.sql.parser import parse

        text = select.strip()
        try:
            script = parse(text)
        except SqlError as error:
            raise type(error)(f"{option}: {error.what}", error.cure, error.position) from error
        if len(script) != 1 or not isinstance(script[0], nodes.Query):
            found = ", ".join(statement.kind for statement in script) or "nothing"
            raise UsageError(f"{option} is {found}: need one SELECT")
        text = text.rstrip("; \n\t") if text.endswith(";") else text
        sql = f"CREATE OR REPLACE TEMP TABLE {table} AS\n{text}\n"
        if self._progress is not None:
            self._progress("gathering", {"statement": len(self.statements) + 1})
        self.statements.append(Statement("The customers", sql.strip()))
        try:
            ((_, rows),) = self.session.sql(sql, self._parameters).fetchall()
        except SqlError as error:
            place = error.position._replace(line=max(error.position.line - 1, 1)) if error.position else None
            raise type(error)(f"{option}: {error.what}", error.cure, place) from error
        return int(rows)

    def drop(self, *tables: str) -> None:
        """Forget temporary tables."""
        for table in tables:
            self.session.sql(f"DROP TABLE IF EXISTS {table}").fetchall()


def write_report(session: Session, path: str | Path, wish: Wish, progress: Progress | None = None) -> Report:
    """Gather a report and write it.

    Args:
        session: holds models and customers.
        path: of the file; replaced whole, or left as it is if anything fails.
        wish: what it shows.
        progress: called for each statement and picture.

    Raises:
        UsageError: a wish that cannot be meant.
        ModelNotFoundError: an unknown model or version.
        WorkspaceError: the path cannot be written.
        HanseError: any of the statements.
    """
    wish.check()
    check_target(path)
    report = gather(session, wish, progress)
    write_file(path, render(report, progress))
    return report


def gather(session: Session, wish: Wish, progress: Progress | None = None) -> Report:
    """All that a report shows."""
    from hanse.session.report_federation import federation_of
    from hanse.session.report_part import Gatherer

    models = [find_model(session, name) for name in wish.models]
    other = None if wish.against is None else find_model(session, wish.against)
    for loaded in (*models, *([other] if other else [])):
        check_kind(loaded)
    gathering = Gathering(session, wish.parameters, progress)
    gatherer = Gatherer(gathering, wish, other)
    over_silos = next((m for m in (other, *models) if m is not None and "silos" in m.artifact.training), None)
    parts = [
        gatherer.part(loaded, *select_of(wish, number, loaded))
        for number, loaded in enumerate(models)
        if wish.selects or loaded is not over_silos
    ]
    if over_silos is not None and other is None:
        other = over_silos
    federation = None if over_silos is None else federation_of(gathering, over_silos)
    names = [loaded.info.name for loaded in models]
    title = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return Report(
        title=title,
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        hanse_version=__version__,
        parts=tuple(parts),
        against=None if other is None or other in models[: len(parts)] else facts_of(other),
        federation=federation,
        statements=tuple(gathering.statements),
        notes=tuple(gathering.warnings),
    )


def find_model(session: Session, written: str) -> LoadedModel:
    """A model by ``name`` or ``name:version``.

    Raises:
        ModelNotFoundError: there is none.
    """
    named = _NAMED.fullmatch(written)
    if named is None or session.registry.exists(written):
        return LoadedModel.of(*session.registry.load(written, None))
    return LoadedModel.of(*session.registry.load(named["name"], int(named["version"])))


def check_kind(loaded: LoadedModel) -> None:
    """Refuse a model that tells no anomalies.

    Raises:
        DataError: it gives no anomaly score.
    """
    if not hasattr(loaded.model, "clusters") and not hasattr(loaded.model, "scores"):
        what = f"model {loaded.info.name} of type {loaded.artifact.model_type} gives no anomaly score"
        raise DataError(f"{what}: a report needs a clustering, or a model that scores anomalies")


def select_of(wish: Wish, number: int, loaded: LoadedModel) -> tuple[str, str]:
    """Whose customers a part shows, and what to call the SELECT in an error.

    Raises:
        UsageError: the model keeps no SELECT that could be run again.
    """
    if wish.selects:
        return wish.selects[number if len(wish.selects) > 1 else 0], "--select"
    source = loaded.artifact.source_sql
    if not source.strip() or "silos" in loaded.artifact.training:
        why = "was trained over silos, whose rows are not here" if source.strip() else "keeps no SELECT of its training"
        raise UsageError(
            f"model {loaded.info.name} {why}: say whose customers to show, with --select 'SELECT ...' or --table NAME"
        )
    return source, f"the SELECT that model {loaded.info.name} was trained on (choose another with --select)"


def facts_of(loaded: LoadedModel) -> ModelFacts:
    """A model as the report names it."""
    info, artifact = loaded.info, loaded.artifact
    steps = tuple(f"{t['function']}({', '.join(t['inputs'])}) {t['alias']}" for t in artifact.transforms)
    return ModelFacts(
        name=info.name,
        version=info.version,
        model_type=artifact.model_type,
        options=_plain(artifact.options),
        transforms=steps,
        features=artifact.features,
        rows=artifact.row_count,
        created_at=info.created,
        created_by=info.created_by,
        source_sql=artifact.source_sql,
        hanse_version=artifact.hanse_version,
    )


def check_target(path: str | Path) -> None:
    """Find out before the work whether the file could be written after it.

    Raises:
        WorkspaceError: it could not.
    """
    what = f"{path} cannot be written"
    target = Path(path)
    if not str(path).strip() or "\0" in str(path):
        raise WorkspaceError(f"{str(path)!r} is not a path: name a file, as report.html")
    if target.is_dir():
        raise WorkspaceError(f"{what}: it is a folder: name a file in it, as {target / 'report.html'}")
    if not target.absolute().parent.is_dir():
        raise WorkspaceError(f"{what}: there is no folder {target.parent}: create it first")
    if not os.access(target.absolute().parent, os.W_OK):
        raise WorkspaceError(f"{what}: folder {target.absolute().parent} is not writable: choose another")


def quoted(name: str) -> str:
    """A name in SQL.

    >>> quoted("a`b")
    '`a``b`'
    """
    return "`" + name.replace("`", "``") + "`"


def literal(value: float) -> str:
    """A number in SQL, to the last bit.

    >>> literal(0.02), literal(-3)
    ('0.02', '-3.0')
    """
    return repr(float(value))


def _plain(options: Mapping[str, Any]) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}

"""The SQL on the pages: every block parses, and those of the reference run, in order, on the demo's events."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_mllib_models import FOLDER
from pages import DOCUMENTS, ROOT, Page

import hanse
from hanse import demo, errors
from hanse.federation.coordinator import Coordinator
from hanse.sql.parser import parse

REFERENCES = ("docs/sql.md", "docs/models.md", "docs/anomalies.md", "docs/functions.md", "docs/federation.md")
"""Pages whose every SQL block runs. One with ``cut=N`` is a training that is killed before its exchange N."""

PARAMETERS = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
BLOCKS = [
    (name, block.line, block.text)
    for name in DOCUMENTS
    for block in Page(name).blocks("sql")
    if "error" not in block.info
]
SCRIPTS = sorted(ROOT.glob("examples/**/*.sql"))


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) > 25
    assert len(SCRIPTS) > 5


@pytest.mark.parametrize(("name", "line", "text"), BLOCKS, ids=[f"{name}:{line}" for name, line, _ in BLOCKS])
def test_blocks_parse(name: str, line: int, text: str) -> None:
    assert parse(text)


REFUSED = [
    (name, statement, block.info["error"])
    for name in DOCUMENTS
    for block in Page(name).blocks("sql")
    if "error" in block.info
    for statement in block.text.strip().splitlines()
]


@pytest.mark.parametrize(("name", "statement", "error"), REFUSED, ids=[statement for _, statement, _ in REFUSED])
def test_statements_that_the_page_says_are_refused(name: str, statement: str, error: str) -> None:
    with hanse.connect() as session:
        session.sql("CREATE TABLE customers (store_id STRING, orders INT); CREATE TABLE watch_list (reason STRING)")
        with pytest.raises(getattr(errors, error)) as caught:
            session.sql(statement).fetchall()
        assert caught.value.position is not None


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_parse(path: Path) -> None:
    assert parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", REFERENCES)
def test_the_reference_runs(
    name: str,
    events: pa.Table,
    store_workspaces: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(events, "events.parquet")
    shutil.copytree(FOLDER / "pipeline_standard", "spark_pipeline")
    shutil.copytree(FOLDER / "kmeans", "spark_kmeans")
    with hanse.connect() as session:
        session.register(demo.EVENTS_TABLE, events)
        for block in Page(name).blocks("sql"):
            if "error" in block.info:
                continue
            killed = _killed(int(block.info["cut"])) if "cut" in block.info else contextlib.nullcontext()
            with killed:
                for result in session.run(block.text, PARAMETERS):
                    result.fetchall()
                    assert result.warnings == [], f"{name}, line {block.line}"


class _KilledError(BaseException):
    """Stands for a coordinator that dies between two exchanges."""


@contextlib.contextmanager
def _killed(before: int) -> Iterator[None]:
    """The training inside dies before that exchange, and must not end otherwise."""
    whole = Coordinator.exchange

    def dying(self: Coordinator, kind: Any, **fields: Any) -> Any:
        if self.round == before:
            raise _KilledError
        return whole(self, kind, **fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Coordinator, "exchange", dying)
        with pytest.raises(_KilledError):
            yield

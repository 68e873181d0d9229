"""The demo's whole story on both engines: the same rows, labels and measures, statement by statement."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from spark_session import drop_everything

import hanse
from hanse import demo
from hanse.demo.writer import write

SCRIPTS = 8  # the ninth compares with the planted truth
PARAMETERS = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}


def told(session: hanse.Session, events: Path) -> list[tuple[str, list[str], list[tuple[Any, ...]]]]:
    session.sql(f"CREATE TEMP VIEW {demo.EVENTS_TABLE} AS SELECT * FROM parquet.`{events}`")
    found = []
    for script in demo.story()[:SCRIPTS]:
        for result in session.run(script.read_text(), PARAMETERS):
            rows = result.fetchall()
            if result.kind != "create_model":
                found.append((f"{script.stem} {result.kind}", result.columns, rows))
    return found


def ordered(row: tuple[Any, ...]) -> str:
    return repr([round(value, 6) if isinstance(value, float) else value for value in row])


def close(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        return math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return bool(mine == theirs)


def test_the_story_is_the_same(spark: Any, tmp_path: Path) -> None:
    write(tmp_path, 4000, 7)
    events = tmp_path / demo.EVENTS_FILE
    with hanse.connect() as ours, hanse.connect(engine="spark", spark=spark) as theirs:
        expected, found = told(ours, events), told(theirs, events)
        drop_everything(theirs.engine)
    assert [name for name, _, _ in found] == [name for name, _, _ in expected]
    for (name, columns, mine), (_, names, wanted) in zip(found, expected, strict=True):
        assert columns == names, name
        assert len(mine) == len(wanted), name
        for one, other in zip(sorted(mine, key=ordered), sorted(wanted, key=ordered), strict=True):
            assert all(map(close, one, other)), f"{name}: {one} {other}"

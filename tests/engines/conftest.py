"""The engines: a test that asks for ``session`` runs on each.

On Spark a statement takes tenths of a second whatever it does, so there a test with many parameters runs with the
first of them; with ``HANSE_EVERY_PARAMETER=1`` in the environment it runs with all.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

import hanse

ENGINES = ("duckdb", "spark")
FEW = 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would take too long on Spark."""
    if os.environ.get("HANSE_EVERY_PARAMETER"):
        return
    seen: Counter[str] = Counter()
    left_out = []
    for item in items:
        call = getattr(item, "callspec", None)
        if call is None or call.params.get("session") != "spark":
            continue
        name = f"{item.path}::{getattr(item, 'originalname', item.name)}"
        seen[name] += 1
        if seen[name] > FEW:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(params=ENGINES)
def session(request: pytest.FixtureRequest) -> Iterator[hanse.Session]:
    """A session whose data and models are gone with it."""
    if request.param == "duckdb":
        with hanse.connect() as opened:
            yield opened
        return
    spark = request.getfixturevalue("spark")
    with hanse.connect(engine="spark", spark=spark) as opened:
        yield opened
        for view in [name for name in opened.engine.relations() if opened.engine.is_view([name])]:
            opened.engine.drop([view], view=True)
        for table in opened.engine.relations():
            opened.engine.drop([table])

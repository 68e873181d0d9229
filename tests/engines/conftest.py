"""The engines: a test that asks for ``session``, or for the ``engine`` of one, runs on each.

On Spark a statement takes tenths of a second whatever it does, so there a test with many parameters runs with the
first of them, for each model type unless it is about bad input, which is refused before the type matters; with
``HANSE_EVERY_PARAMETER=1`` in the environment it runs with all.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from spark_session import drop_everything

import hanse
from hanse.engines.base import Engine

ENGINES = ("duckdb", "spark")
FEW = 1
BAD_INPUT = "test_bad_input.py"


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
        name = item.nodeid.partition("[")[0]
        if item.path.name != BAD_INPUT:
            name += f" {call.params.get('model_type')}"
        seen[name] += 1
        if seen[name] > FEW:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@contextlib.contextmanager
def on_spark(spark: Any) -> Iterator[hanse.Session]:
    """A session on Spark whose tables are gone with it."""
    with hanse.connect(engine="spark", spark=spark) as opened:
        yield opened
        drop_everything(opened.engine)


@pytest.fixture
def shop(spark: Any) -> Iterator[hanse.Session]:
    """A session for what is Spark's own."""
    with on_spark(spark) as opened:
        yield opened


@pytest.fixture(params=ENGINES)
def session(request: pytest.FixtureRequest) -> Iterator[hanse.Session]:
    """A session whose data and models are gone with it."""
    if request.param == "duckdb":
        with hanse.connect() as opened:
            yield opened
        return
    with on_spark(request.getfixturevalue("spark")) as opened:
        yield opened


@pytest.fixture
def engine(session: hanse.Session) -> Engine:
    """What runs the session's statements, to be asked directly."""
    return session.engine

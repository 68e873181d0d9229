"""The engines: a test that asks for ``session`` runs on each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import hanse

ENGINES = ("duckdb", "spark")


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

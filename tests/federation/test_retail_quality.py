"""Real purchases, each country a silo with a gate of ten: the global model is as good as one over all rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import BisectingKMeans

from benchmarks.federation_quality import FEATURES, Way, centralised, inertia_of, retail_by_country, silos, statement
from hanse.federation.audit import entries_of

CLUSTERS = 3


def test_one_shot_over_countries_is_as_good_as_all_rows_at_once(shared: Path, tmp_path: Path) -> None:
    stores = retail_by_country(str(shared / "data" / "online_retail.parquet"))
    sizes = {name: len(table) for name, table in stores.items()}
    assert (sizes["United Kingdom"], sizes["Switzerland"], len(sizes)) == (3920, 21, 6)
    pooled = pa.concat_tables(stores.values()).select(list(FEATURES))
    with silos(tmp_path, stores) as (session, names):
        session.register("pooled", pooled)
        session.sql(centralised("whole", CLUSTERS))
        result = session.sql(statement("g", CLUSTERS, names, Way("one_shot", 3)))
        assert [line for line in result.warnings if "took no part" in line] == []
        whole, ours = inertia_of(session, "whole"), inertia_of(session, "g")
        training = json.loads(dict(session.sql("DESCRIBE MODEL g").fetchall())["training"])
    assert ours <= 1.05 * whole
    assert ours == pytest.approx(whole, rel=0.01), "what docs/benchmarks.md reports"
    assert training["rows"] == sum(sizes.values())
    rows = np.column_stack([column.to_numpy() for column in pooled.columns])
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    referee = BisectingKMeans(CLUSTERS, n_init=10, random_state=0).fit(scaled)
    assert ours <= 1.05 * referee.inertia_
    for name in names:
        entries = entries_of(tmp_path / name / f"{name}.ledger")
        assert {entry.kind for entry in entries} >= {"moments", "summarize"}
        assert all(entry.customers >= 10 for entry in entries if entry.cells)

"""Detection: do anomaly scores rank anomalies first? Beside scikit-learn and PyOD, where the anomalies are known."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench
from benchmarks.detectors import HANSE, PEERS, RECOMMENDED, hanse_scores, peer_scores
from benchmarks.labelled import WHAT, labelled_sets, parted
from benchmarks.report import Measurement, Table, Target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]

__all__ = ["RETAIL_FEATURES", "REVERSED", "UK_CUSTOMERS", "measure"]

REVERSED = (12346, 16446)
"""Customers of the United Kingdom who ordered tens of thousands of pieces and sent them back within minutes."""

RETAIL_FEATURES = ("avg_order_value", "largest_order_value", "orders", "lifetime", "recency")

UK_CUSTOMERS = """
    CREATE TABLE customers AS
    WITH orders AS (
        SELECT CustomerID, InvoiceNo, MIN(InvoiceDate) AS bought, SUM(Quantity * UnitPrice) AS worth
        FROM lines
        WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND UnitPrice > 0 AND Country = 'United Kingdom'
        GROUP BY CustomerID, InvoiceNo)
    SELECT CAST(CustomerID AS INT) AS customer, AVG(worth) AS avg_order_value, MAX(worth) AS largest_order_value,
        COUNT(*) AS orders, DATEDIFF(MAX(bought), MIN(bought)) AS lifetime,
        DATEDIFF(DATE '2011-12-10', MAX(bought)) AS recency
    FROM orders GROUP BY CustomerID
"""
_DEMO_FEATURES = "order_value_z, orders_z, lifetime_z, recency_z"


def _scores(session: Any, train: Rows, test: Rows, seed: int) -> Iterator[tuple[str, Rows]]:
    """Every contender's scores of the same rows; those that give none are left out."""
    for name, options in HANSE.items():
        yield name, hanse_scores(session, options, train, test, seed)
    for name in PEERS:
        found = peer_scores(name, train, test, seed)
        if found is not None:
            yield name, found


def on_sets(seed: int) -> dict[str, Any]:
    """For each set and contender the area under the ROC curve and the average precision."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    import hanse

    found: dict[str, dict[str, tuple[float, float]]] = {}
    with hanse.connect() as session:
        for name, rows, labels in labelled_sets(seed):
            train, test, wanted = parted(rows, labels, seed)
            found[name] = {
                who: (float(roc_auc_score(wanted, s)), float(average_precision_score(wanted, s)))
                for who, s in _scores(session, train, test, seed)
            }
    return {"found": found}


def on_demo(events: int, seed: int) -> dict[str, Any]:
    """For each store and kind of planted customers, against its ordinary ones: area and average precision."""
    import itertools

    import numpy as np
    import pyarrow as pa
    from sklearn.metrics import average_precision_score, roc_auc_score

    import hanse
    from hanse import demo

    dates = {"start_date": demo.START_DATE, "end_date": demo.END_DATE}
    found: dict[str, dict[str, tuple[float, float]]] = {}
    planted = demo.truth(events, seed)
    kinds = dict(zip(planted["customer_id"].to_pylist(), planted["kind"].to_pylist(), strict=True))
    with hanse.connect() as session:
        session.register(demo.EVENTS_TABLE, pa.Table.from_batches(list(demo.generate(events, seed))))
        for _ in itertools.islice(session.run(demo.story()[0].read_text(), dates), 3):
            pass  # features, moments, and features in standard deviations
        for store in demo.STORES:
            table = session.sql(
                f"SELECT customer_id, {_DEMO_FEATURES} FROM store_features WHERE store_id = $store "
                "ORDER BY customer_id",
                {"store": store.store_id},
            ).arrow()
            rows = np.column_stack([column.to_numpy() for column in table.columns[1:]])
            kind = np.array([kinds.get(c, "") for c in table["customer_id"].to_pylist()])
            for who, scores in _scores(session, rows, rows, seed):
                for each in [*demo.KINDS, "all"]:
                    asked = (kind == each) | (kind == "") if each != "all" else np.ones(len(kind), dtype=bool)
                    wanted = kind[asked] != ""
                    if not wanted.any():
                        continue
                    area = float(roc_auc_score(wanted, scores[asked]))
                    precision = float(average_precision_score(wanted, scores[asked]))
                    found.setdefault(f"{store.name}, {each}", {})[who] = (area, precision)
    return {"found": found}


def on_retail(source: str) -> dict[str, Any]:
    """For each contender the places of the two reversed purchases among the customers of the United Kingdom."""
    import numpy as np

    import hanse

    with hanse.connect() as session:
        session.load("lines", [source])
        session.sql(UK_CUSTOMERS)
        listed = ", ".join(RETAIL_FEATURES)
        table = session.sql(f"SELECT customer, {listed} FROM customers ORDER BY customer").arrow()
        customers = table["customer"].to_numpy()
        rows = np.column_stack([table[f].to_numpy() for f in RETAIL_FEATURES]).astype(np.float64)
        rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        places = {
            who: [int((s > s[customers == c][0]).sum()) + 1 for c in REVERSED]
            for who, s in _scores(session, rows, rows, 0)
        }
    return {"places": places, "customers": len(customers)}


def measure(bench: Bench) -> Measurement:
    """Medians over seeds; the best of the peers is what Hanse is measured by."""
    seeds = range(1 if bench.quick else 3)
    by_seed = []
    for seed in seeds:
        by_seed.append(bench.run(on_sets, seed=seed).result["found"])
        bench.say(f"detection: sets, seed {seed}")
    areas, precisions = (_medians(by_seed, which) for which in (0, 1))
    demo = bench.run(on_demo, events=50_000 if bench.quick else 500_000, seed=1).result["found"]
    bench.say("detection: demo")
    retail = bench.run(on_retail, source=str(bench.online_retail)).result if bench.online_retail else None
    best = {name: max(_of(row, PEERS)) for name, row in areas.items()}
    best_type = statistics.mean(max(_of(row, HANSE)) - best[name] for name, row in areas.items())
    recommended = statistics.mean(row[RECOMMENDED] - best[name] for name, row in areas.items())
    bench.say(f"detection: best type {best_type:+.4f}, {RECOMMENDED} {recommended:+.4f} against the best of the peers")
    return Measurement(
        name="detection",
        title="Detection",
        how=_how(len(seeds), list(areas)),
        targets=_targets(best_type, recommended, retail),
        tables=(
            _table(areas, "Area under the ROC curve; 0.5 is chance, 1 ranks all anomalies first:"),
            _differences(areas, best),
            _table(precisions, "Average precision; the anomalies' share is chance:"),
            _table(
                {n: {k: v[0] for k, v in row.items()} for n, row in demo.items()}, "The demo, area under the curve:"
            ),
            _table({n: {k: v[1] for k, v in row.items()} for n, row in demo.items()}, "The demo, average precision:"),
            *([_places(retail)] if retail else []),
        ),
        behind=tuple(_losses(areas, best)),
        skipped=() if retail else ("UCI Online Retail: the file is not there (`--online-retail FILE`).",),
    )


def _how(seeds: int, names: Sequence[str]) -> tuple[str, ...]:
    return (
        "Each contender learns from 60 % of the rows, anomalies among them and unlabelled, and scores the other 40 %; "
        "rows are in standard deviations of those learnt from. Hanse's scores come from `detect_anomalies`. All have "
        f"their defaults, a clustering also 16 clusters where it says so. Medians over {seeds} "
        f"seed{'s' if seeds != 1 else ''}; a peer that gives up on a set has none.",
        "The sets: " + "; ".join(f"*{name}*: {WHAT[name]}" for name in names) + ".",
        "In the demo, each kind of planted customers is told from its store's ordinary ones, by the story's four "
        "features; the models learn from the same rows.",
    )


def _medians(by_seed: Sequence[Mapping[str, Any]], which: int) -> dict[str, dict[str, float]]:
    """Set, contender, median over the seeds that have it."""
    found: dict[str, dict[str, float]] = {}
    for name in by_seed[0]:
        for who in (*HANSE, *PEERS):
            values = [run[name][who][which] for run in by_seed if who in run[name]]
            if values:
                found.setdefault(name, {})[who] = statistics.median(values)
    return found


def _of(row: Mapping[str, float], names: Mapping[str, Any]) -> list[float]:
    return [row[name] for name in names if name in row]


def _table(found: Mapping[str, Mapping[str, float]], caption: str) -> Table:
    header = ("", *HANSE, *PEERS)
    rows = tuple(
        (name, *(f"{row[who]:.3f}" if who in row else "" for who in header[1:])) for name, row in found.items()
    )
    return Table(header, rows, caption)


def _differences(areas: Mapping[str, Mapping[str, float]], best: Mapping[str, float]) -> Table:
    """Each contender's mean difference to the best of the peers, which knows the labels when it is chosen."""
    lines = []
    for who in (*HANSE, *PEERS):
        away = [row[who] - best[name] for name, row in areas.items() if who in row]
        if away:
            lines.append((who, f"{statistics.mean(away):+.3f}", f"{min(away):+.3f}", str(len(away))))
    chosen = [max(_of(row, HANSE)) - best[name] for name, row in areas.items()]
    lines.append(("best of Hanse's", f"{statistics.mean(chosen):+.3f}", f"{min(chosen):+.3f}", str(len(chosen))))
    caption = "Difference in area to the best of the four peers on each set, mean and worst:"
    return Table(("", "mean", "worst", "sets"), tuple(lines), caption)


def _losses(areas: Mapping[str, Mapping[str, float]], best: Mapping[str, float]) -> Iterator[str]:
    """Where clustering loses, and where all of Hanse's types do."""
    for name, row in areas.items():
        if row[RECOMMENDED] < best[name] - 0.01:
            peer = max((p for p in PEERS if p in row), key=lambda p, row=row: row[p])  # type: ignore[misc]  # bound now
            other = max(HANSE, key=lambda h, row=row: row[h])  # type: ignore[misc]  # bound now
            yield (
                f"Detection on {name}: {peer} reaches {best[name]:.3f}, {RECOMMENDED} {row[RECOMMENDED]:.3f}; the best "
                f"of Hanse's types, {other}, {row[other]:.3f}."
            )


def _places(retail: Mapping[str, Any]) -> Table:
    rows = tuple((who, *(str(place) for place in places)) for who, places in retail["places"].items())
    caption = (
        f"UCI Online Retail: places of the two reversed purchases among {retail['customers']:,} customers of the "
        f"United Kingdom, by {', '.join(f'`{f}`' for f in RETAIL_FEATURES)}:"
    )
    return Table(("", *(f"customer {c}" for c in REVERSED)), rows, caption)


def _targets(best_type: float, recommended: float, retail: Mapping[str, Any] | None) -> tuple[Target, ...]:
    worst = max(max(retail["places"][who]) for who in HANSE) if retail else None
    return (
        Target(
            "detection: Hanse's best type at most 0.01 below the best peer's area, mean over the sets",
            -0.01,
            round(best_type, 4),
            True,
        ),
        Target(
            f"detection: {RECOMMENDED} everywhere at most 0.01 below the best peer's area, mean over the sets",
            -0.01,
            round(recommended, 4),
            True,
        ),
        Target("detection: both reversed purchases among the first 10, by every type", 10, worst, False),
    )

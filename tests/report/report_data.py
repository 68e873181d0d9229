"""Reports of made-up data: an ordinary one, a federated one, and one whose every text is hostile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hanse.report.data import (
    Agreement,
    Cell,
    Cluster,
    Customer,
    Feature,
    Federation,
    Finding,
    GlobalCluster,
    ModelFacts,
    Part,
    Picture,
    Point,
    Release,
    Report,
    SiloFacts,
    Statement,
)
from hanse.report.projection import plane

HOSTILE = (
    '</script><script>alert("x")</script>',
    "<img src=x onerror=alert(1)>",
    "'; DROP TABLE customers; --",
    '"><svg onload=alert(1)>',
    "Zoë 李 ‮evil‬ 🛒",
    "a" * 5000,
    "nul\x00 and bell\x07",
    "&lt;b&gt; {{ 7 * 7 }} {% raw %}",
    "$0 datum['x'] signal",
    "half \ud83d of a pair",
)

NAMES = ("avg_order_value", "total_orders", "customer_lifetime", "days_since_last_purchase")


def model(name: str = "comfort_wear_anomalies", features: tuple[str, ...] = NAMES) -> ModelFacts:
    return ModelFacts(
        name=name,
        version=3,
        model_type="bisecting_kmeans",
        options={"num_clusters": 3, "seed": 2, "split_order": "inertia", "weight_col": None},
        transforms=("vector_assembler(avg_order_value, total_orders) assembled", "standard_scaler(assembled) features"),
        features=features,
        rows=4749,
        created_at="2026-03-01T12:00:00+00:00",
        created_by="ada",
        source_sql="SELECT *\nFROM customer_features\nWHERE store_id = 'comfort_wear_store_view' AND total_orders < 1000",
        hanse_version="0.1.0",
    )


def part(title: str = "comfort_wear_anomalies", *, customers: int = 800, agreement: Agreement | None = None) -> Part:
    """A store with two ordinary clusters and a small one of frequent shoppers, drawn from a seed."""
    draw = np.random.default_rng(7)
    sizes = (customers * 3 // 5, customers - customers * 3 // 5 - 24, 24)
    centres = np.array([[78, 3, 60, 30], [74, 2.6, 40, 200], [64, 54, 340, 6]], dtype=float)
    spread = np.array([20, 1.2, 25, 20.0])
    rows = np.concatenate([c + draw.normal(size=(n, 4)) * spread for c, n in zip(centres, sizes, strict=True)])
    label = np.repeat(np.arange(3), sizes)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    standard = (rows - mean) / deviation
    top = list(range(len(rows) - 24, len(rows)))
    projected = plane(standard, np.ones(len(rows)), NAMES)
    assert projected is not None
    return Part(
        title=title,
        model=model(title),
        select="SELECT * FROM customer_features",
        customers=len(rows),
        anomalous=24,
        rule="their anomaly score is above 3.2, which 2 % of the training rows exceed",
        features=tuple(Feature(n, float(m), float(s)) for n, m, s in zip(NAMES, mean, deviation, strict=True)),
        clusters=tuple(
            Cluster(
                number=i,
                customers=n,
                share=n / len(rows),
                is_anomaly=i == 2,
                reason="holds 3 % of the training weight, less than 5 %" if i == 2 else "holds 5 % or more",
                description=("total orders 5.2 sd above ordinary customers" if i == 2 else "ordinary in all features"),
                means=tuple(float(x) for x in rows[label == i].mean(axis=0)),
                anomalies=24 if i == 2 else 0,
                silhouette=(0.52, 0.61, 0.93)[i],
            )
            for i, n in enumerate(sizes)
        ),
        listed=tuple(
            Customer(
                name=f"{i * 7919 % 10**8:08d}-ecid",
                cluster=2,
                score=9.5 - place / 10,
                explanation=f"total_orders {5.2 - place / 20:.1f} sd above, customer_lifetime 3.1 sd above ordinary customers",
                values=tuple(float(x) for x in rows[i]),
                global_cluster=3 if agreement else None,
            )
            for place, i in enumerate(top)
        ),
        picture=Picture(
            x_title=projected.titles[0],
            y_title=projected.titles[1],
            points=tuple(
                Point(float(x), float(y), int(label[i]), i - top[0] if i >= top[0] else None, i >= top[0])
                for i, (x, y) in enumerate(projected.coordinates)
            ),
            share=sum(projected.share),
            sampled=len(rows),
            customers=len(rows),
        ),
        agreement=agreement,
        silhouette=0.57,
        id_column="customer_id",
        gained=(Customer("77777777-ecid", 0, 2.25, "avg_order_value 2.1 sd above", (1.0, 2.0, None, 4.0), 2),)
        if agreement
        else (),
    )


def agreement(scale: int = 1) -> Agreement:
    return Agreement(
        clusters=(
            GlobalCluster(0, 470 * scale, False),
            GlobalCluster(1, 250 * scale, False),
            GlobalCluster(2, 56 * scale, True),
            GlobalCluster(3, 24 * scale, True),
        ),
        cells=(
            Cell(0, 0, 450 * scale),
            Cell(0, 1, 10 * scale),
            Cell(0, 2, 20 * scale),
            Cell(1, 0, 20 * scale),
            Cell(1, 1, 240 * scale),
            Cell(1, 2, 36 * scale),
            Cell(2, 3, 24 * scale),
        ),
        findings=(Finding(2, 3, "matched", 1.0, 0.31), Finding(None, 2, "global_only")),
        rand=0.812,
        information=0.74,
        gained=56 * scale,
        lost=0,
    )


def report() -> Report:
    """A model against a global one."""
    return Report(
        title="comfort_wear_anomalies",
        created_at="2026-03-02T08:00:00+00:00",
        hanse_version="0.1.0",
        parts=(part(agreement=agreement()),),
        against=model("global_anomalies"),
        statements=(
            Statement(
                "Customers with their scores",
                "SELECT *\nFROM detect_anomalies(comfort_wear_anomalies, 3, SELECT * FROM customer_features)",
            ),
        ),
    )


def two_stores() -> Report:
    """Two models against a global one."""
    stores = (
        part("comfort_wear_anomalies", agreement=agreement()),
        part("sporty_style_anomalies", agreement=agreement()),
    )
    return replace(report(), title="Two stores", parts=stores)


def federated() -> Report:
    """A model that was trained over silos, one of which withheld a cell and one of which was lost."""
    cells = (Cell(0, 0, 450), Cell(0, 1, None), Cell(1, 1, 240), Cell(2, 3, 24))
    both = replace(agreement(), cells=cells)
    mine = (GlobalCluster(0, 480, False), GlobalCluster(1, 250, False), GlobalCluster(2, 24, True))
    silos = (
        SiloFacts("comfort_wear", True, "its gate merged a small cell", {"silhouette": 0.61}, mine, both),
        SiloFacts("sporty_style", True, "", {"silhouette": None}),
        SiloFacts("outlet", False, "no answer within 30 s"),
    )
    releases = tuple(
        Release(
            silo,
            number,
            kind,
            "count (3,), sum (3, 4), square (3, 4)",
            812 + number,
            "accepted",
            "2026-03-01T12:00:01+00:00",
        )
        for number, kind in enumerate(("moments", "summarize", "evaluate"))
        for silo in ("comfort_wear", "sporty_style")
    )
    rounds = tuple((i, 1000.0 / i + 400) for i in range(1, 9))
    return replace(
        report(),
        title="league",
        parts=(),
        federation=Federation("rounds", 8, silos, rounds, releases, mine),
    )


def hostile() -> Report:
    """Every text of it is somebody else's, and unkind."""
    plain = part(agreement=agreement())
    text = HOSTILE[0]
    names = [HOSTILE[i % len(HOSTILE)] for i in range(len(plain.listed))]
    facts = replace(
        plain.model,
        name=HOSTILE[1],
        model_type=text,
        options={text: HOSTILE[4], "n": HOSTILE[3]},
        transforms=(text,),
        features=HOSTILE,
        created_by=text,
        source_sql="\n".join(HOSTILE),
    )
    bad = replace(
        plain,
        title=HOSTILE[3],
        model=facts,
        rule=text,
        id_column=HOSTILE[1],
        features=tuple(replace(f, name=HOSTILE[i]) for i, f in enumerate(plain.features)),
        clusters=tuple(replace(c, reason=text, description=HOSTILE[6 + i]) for i, c in enumerate(plain.clusters)),
        gained=tuple(replace(c, name=text, explanation=text) for c in plain.gained),
        listed=tuple(replace(c, name=n, explanation=n) for c, n in zip(plain.listed, names, strict=True)),
    )
    assert bad.picture is not None
    bad = replace(bad, picture=replace(bad.picture, x_title=text, y_title=HOSTILE[5]))
    league = federated().federation
    assert league is not None
    silos = tuple(replace(s, name=text, note=HOSTILE[1]) for s in league.silos)
    releases = tuple(replace(r, silo=text, statistics=HOSTILE[3], outcome=text) for r in league.releases)
    return replace(
        report(),
        title=HOSTILE[0],
        parts=(bad,),
        against=facts,
        federation=replace(league, strategy=text, silos=silos, releases=releases),
        statements=(Statement(HOSTILE[1], HOSTILE[0]),),
    )

"""What a report shows of silos: who took part, what each sent, and local against global clusters at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hanse.errors import HanseError
from hanse.report.data import Agreement, Cell, Federation, Finding, GlobalCluster, Release, SiloFacts
from hanse.session.reporting import Gathering, quoted

if TYPE_CHECKING:
    from hanse.session.learning import LoadedModel

__all__ = ["federation_of"]

_MEASURES = ("silhouette", "davies_bouldin", "inertia", "rows")


def federation_of(ask: Gathering, loaded: LoadedModel) -> Federation | None:
    """How a model was trained over silos; None if it was not.

    Silos that cannot be reached now are not measured; what they sent before is in the coordinator's own record.
    """
    training = loaded.artifact.training
    if "silos" not in training:
        return None
    call = f"{quoted(loaded.info.name)}, {loaded.info.version}"
    measures = {
        row["silo"]: {name: row[name] for name in _MEASURES}
        for row in _asked(ask, "The global model at each silo", f"SELECT * FROM federated_evaluate({call})")
    }
    cells = _asked(ask, "Local against global clusters at each silo", f"SELECT * FROM federated_compare({call})")
    record = ask.rows("What each silo sent", f"SHOW EGRESS FOR MODEL {quoted(loaded.info.name)}")
    lost = dict(training.get("lost", {}))
    reasons = dict(training.get("reasons", {}))
    whole = sum(c.weight for c in loaded.model.clusters)  # type: ignore[attr-defined]  # a clustering
    clusters = tuple(
        GlobalCluster(number, round(c.weight), c.weight < 0.05 * whole)
        for number, c in enumerate(loaded.model.clusters)  # type: ignore[attr-defined]  # a clustering
    )
    silos = tuple(
        _silo(name, lost, reasons, measures, [row for row in cells if row["silo"] == name], clusters)
        for name in dict.fromkeys((*training["silos"], *lost))
    )
    return Federation(
        strategy=str(training["federated"].get("strategy", "")),
        rounds=int(training.get("rounds", 0)),
        silos=silos,
        convergence=tuple(enumerate(map(float, training.get("convergence", ())), 1)),
        releases=tuple(_release(row) for row in record),
        clusters=clusters,
    )


def _asked(ask: Gathering, title: str, sql: str) -> list[dict[str, Any]]:
    """Rows of a statement that asks the silos; none, and a note, where they cannot be asked now."""
    try:
        return ask.rows(title, sql)
    except HanseError as error:
        ask.warnings.append(f"{title}: {error}")
        return []


def _silo(
    name: str,
    lost: Mapping[str, str],
    reasons: Mapping[str, Sequence[str]],
    measures: Mapping[str, Mapping[str, float | None]],
    cells: Sequence[Mapping[str, Any]],
    clusters: Sequence[GlobalCluster],
) -> SiloFacts:
    note = lost.get(name, "")
    if not note and reasons.get(name):
        note = f"its gate answered with {', '.join(reasons[name])}"
    own = {
        int(row["local_prediction"]): GlobalCluster(
            int(row["local_prediction"]), int(row["local_rows"]), bool(row["local_is_anomaly"])
        )
        for row in cells
    }
    return SiloFacts(
        name=name,
        took_part=name not in lost,
        note=note,
        measures=measures.get(name),
        local_clusters=tuple(own[number] for number in sorted(own)),
        agreement=_agreement(cells, own, clusters) if cells else None,
    )


def _agreement(
    rows: Sequence[Mapping[str, Any]], own: Mapping[int, GlobalCluster], clusters: Sequence[GlobalCluster]
) -> Agreement:
    """The released cells, and for each local anomaly cluster where most of what is known of it is."""
    cells = tuple(
        Cell(int(r["local_prediction"]), int(r["global_prediction"]), None if r["rows"] is None else int(r["rows"]))
        for r in rows
    )
    rare = {c.number for c in clusters if c.is_anomaly}
    findings = []
    for number, cluster in sorted(own.items()):
        known = [c for c in cells if c.local == number and c.customers]
        if cluster.is_anomaly and known:
            most = max(known, key=lambda c: c.customers or 0)
            findings.append(Finding(number, most.global_number, "matched" if most.global_number in rare else "missed"))
    ordinary = {number for number, cluster in own.items() if not cluster.is_anomaly}
    for number in sorted(rare):
        here = [c for c in cells if c.global_number == number and c.customers]
        if here and all(c.local in ordinary for c in here):
            findings.append(Finding(None, number, "global_only"))
    return Agreement(clusters=tuple(clusters), cells=cells, findings=tuple(findings))


def _release(row: Mapping[str, Any]) -> Release:
    outcome = str(row["status"])
    if row["reasons"]:
        outcome = f"{outcome} ({row['reasons']})"
    return Release(
        silo=str(row["silo"]),
        round=int(row["round"]),
        kind=str(row["exchange"]),
        statistics=str(row["statistics"]),
        size_bytes=int(row["bytes"]),
        outcome=outcome,
        received_at=str(row["received"]).partition(".")[0].replace("T", " "),
    )

"""One part of a report: a model over one set of customers, asked of the engine statement by statement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hanse.errors import DataError
from hanse.report.data import Agreement, Cell, Cluster, Customer, Feature, Finding, GlobalCluster, Part, Picture, Point
from hanse.report.projection import plane
from hanse.session.report_columns import Columns, columns_of
from hanse.session.reporting import Gathering, Wish, facts_of, quoted

if TYPE_CHECKING:
    from hanse.session.learning import LoadedModel

__all__ = ["Gatherer"]

_ROWS: Final = "hanse_report_customers"
_SCORED: Final = "hanse_report_scored"
_TOP: Final = "hanse_report_top"
_SAMPLE: Final = 2000
_MOST_ANOMALIES: Final = 500  # in the picture
_OWN: Final = ("hanse_cluster", "hanse_score", "hanse_explanation")


class Gatherer:
    """Asks for each part what a report shows of it.

    Args:
        gathering: runs and keeps the statements.
        wish: what is asked for.
        other: the global model, if there is one.
    """

    def __init__(self, gathering: Gathering, wish: Wish, other: LoadedModel | None) -> None:
        self._ask = gathering
        self._wish = wish
        self._other = other

    def part(self, loaded: LoadedModel, select: str, option: str) -> Part:
        """Everything about one model's customers.

        Raises:
            DataError: there are none.
            HanseError: any statement's.
        """
        try:
            if self._ask.take(_ROWS, select, option) == 0:
                raise DataError(f"{option} gives no rows: there is nobody to report on")
            return self._part(loaded, select)
        finally:
            self._ask.drop(_ROWS, _SCORED, _TOP)

    def _part(self, loaded: LoadedModel, select: str) -> Part:
        columns = columns_of(self._ask, _ROWS, loaded.chain.inputs, self._wish.customer)
        grouped = not hasattr(loaded.model, "clusters")
        label = quoted(getattr(loaded.model, "prediction_col", "prediction"))
        call = _call(loaded)
        rows = f"(SELECT * FROM {_ROWS})"
        self._ask.rows(
            "Everybody's cluster and score",
            f"CREATE OR REPLACE TEMP TABLE {_SCORED} AS\n"
            f"SELECT * FROM detect_anomalies({call}, {rows}{self._wish.rule})",
        )
        if grouped:
            label = "CASE WHEN is_anomaly THEN 1 ELSE 0 END"
        features, found = self._moments(columns, label)
        customers = sum(int(row["customers"]) for row in found.values())
        anomalous = sum(int(row["anomalous"]) for row in found.values())
        clusters = self._clusters(loaded, call, label, found, columns, customers)
        listed = self._listed(call, "1" if grouped else label, columns)
        agreement = None if grouped else self._agreement(call)
        return Part(
            title=loaded.info.name,
            model=facts_of(loaded),
            select=select,
            customers=customers,
            anomalous=anomalous,
            rule=self._rule(found),
            features=features,
            clusters=clusters,
            listed=listed,
            picture=self._picture(columns, features, label, listed, customers, anomalous),
            agreement=agreement,
            grouped=grouped,
            gained=self._gained(call, label, columns, clusters, agreement),
            silhouette=self._silhouette(call, clusters),
            id_column=columns.customer,
        )

    # -- clusters ------------------------------------------------------------------------------

    def _moments(self, columns: Columns, label: str) -> tuple[tuple[Feature, ...], dict[int, dict[str, Any]]]:
        """Each number's mean and deviation over everybody, and by cluster its mean."""
        means = "".join(f",\n  AVG(CAST({quoted(c)} AS DOUBLE)) AS m{i}" for i, c in enumerate(columns.numbers))
        spread = [f"STDDEV_POP(CAST({quoted(c)} AS DOUBLE)) AS s{i}" for i, c in enumerate(columns.numbers)]
        found = self._ask.rows(
            "Clusters: how many customers, how many anomalous, and what they are like on average",
            f"SELECT {label} AS cluster, COUNT(*) AS customers,\n"
            "  SUM(CASE WHEN is_anomaly THEN 1 ELSE 0 END) AS anomalous,\n"
            f"  MIN(CASE WHEN is_anomaly THEN anomaly_score END) AS lowest{means}\n"
            f"FROM {_SCORED} GROUP BY {label}",
        )
        (whole,) = self._ask.rows(
            "The average customer", f"SELECT {', '.join(['COUNT(*) AS n', *spread])}{means}\nFROM {_SCORED}"
        )
        features = tuple(
            Feature(name, _number(whole[f"m{i}"], 0.0), _number(whole[f"s{i}"], 0.0), i < len(columns.trained))
            for i, name in enumerate(columns.numbers)
        )
        return features, {int(row["cluster"]): row for row in found}

    def _clusters(
        self,
        loaded: LoadedModel,
        call: str,
        label: str,
        found: Mapping[int, Mapping[str, Any]],
        columns: Columns,
        customers: int,
    ) -> tuple[Cluster, ...]:
        """The model's clusters, or ordinary and anomalous ones of a model that is no clustering."""
        if not hasattr(loaded.model, "clusters"):
            return _groups(found, len(columns.numbers), customers)
        rows = f"(SELECT * FROM {_ROWS})"
        described = self._ask.rows(
            "Clusters in words", f"SELECT * FROM describe_clusters({call}, {rows}) ORDER BY {label}"
        )
        apart = self._ask.rows("How well clusters are apart", f"SELECT * FROM cluster_silhouettes({call}, {rows})")
        name = getattr(loaded.model, "prediction_col", "prediction")
        silhouettes = {int(row[name]): row["silhouette"] for row in apart}
        clusters = []
        for row in described:
            number = int(row[name])
            here = found.get(number, {})
            held = int(here.get("customers", 0))
            clusters.append(
                Cluster(
                    number=number,
                    customers=held,
                    share=held / customers,
                    is_anomaly=bool(row["is_anomaly_cluster"]),
                    reason=row["reason"],
                    description=_told(row["description"]),
                    means=tuple(_number(here.get(f"m{i}"), None) for i in range(len(columns.numbers))),
                    anomalies=int(here.get("anomalous", 0)),
                    silhouette=_number(silhouettes.get(number), None),
                )
            )
        return tuple(clusters)

    def _silhouette(self, call: str, clusters: Sequence[Cluster]) -> float | None:
        """Over everybody."""
        if sum(cluster.customers > 0 for cluster in clusters) < 2:
            return None
        known = [(c.silhouette, c.customers) for c in clusters if c.silhouette is not None]
        return sum(s * n for s, n in known) / sum(n for _, n in known) if known else None

    def _rule(self, found: Mapping[int, Mapping[str, Any]]) -> str:
        """Who counts as anomalous."""
        if self._wish.threshold is not None:
            return f"their anomaly score is above {self._wish.threshold:g}"
        share = 0.02 if self._wish.contamination is None else self._wish.contamination
        lowest = [float(row["lowest"]) for row in found.values() if row["lowest"] is not None]
        least = f"{min(lowest):.3g} or more, " if lowest else ""
        return f"their anomaly score is {least}higher than that of {(1 - share) * 100:.6g} % of the training rows"

    # -- customers -----------------------------------------------------------------------------

    def _listed(self, call: str, label: str, columns: Columns) -> tuple[Customer, ...]:
        """The most anomalous customers."""
        kept = ", ".join(quoted(c) for c in columns.all)
        chosen = (
            f"SELECT {kept} FROM {_SCORED} WHERE is_anomaly\n"
            f"  ORDER BY anomaly_score DESC, {columns.order} LIMIT {self._wish.top}"
        )
        return self._explained("The most anomalous customers", call, chosen, self._wish.rule, label, columns)

    def _gained(
        self, call: str, label: str, columns: Columns, clusters: Sequence[Cluster], agreement: Agreement | None
    ) -> tuple[Customer, ...]:
        """Customers of a global anomaly cluster whom this model has in an ordinary one."""
        ordinary = [str(c.number) for c in clusters if not c.is_anomaly]
        others = [str(c.number) for c in agreement.clusters if c.is_anomaly] if agreement is not None else []
        if self._other is None or not agreement or not agreement.gained or not ordinary or not others:
            return ()
        kept = ", ".join(quoted(c) for c in columns.all)
        other = quoted(getattr(self._other.model, "prediction_col", "prediction"))
        inner = f"SELECT {kept}, {label} AS {_OWN[0]}, anomaly_score AS {_OWN[1]} FROM {_SCORED}"
        chosen = (
            f"SELECT {kept} FROM model_predict({_call(self._other)}, ({inner}))\n"
            f"  WHERE {other} IN ({', '.join(others)}) AND {_OWN[0]} IN ({', '.join(ordinary)})\n"
            f"  ORDER BY {_OWN[1]} DESC, {columns.order} LIMIT {self._wish.top}"
        )
        title = "Customers whom only the global model has in an anomaly cluster"
        return self._explained(title, call, chosen, ", threshold => -1.0", label, columns)

    def _explained(
        self, title: str, call: str, chosen: str, rule: str, label: str, columns: Columns
    ) -> tuple[Customer, ...]:
        """Chosen customers with explanations, and with their global clusters; highest score first."""
        kept = ", ".join(quoted(c) for c in columns.all)
        self._ask.rows(
            f"{title}, and why",
            f"CREATE OR REPLACE TEMP TABLE {_TOP} AS\n"
            f"SELECT {kept}, {label} AS {_OWN[0]}, anomaly_score AS {_OWN[1]}, explanation AS {_OWN[2]}\n"
            f"FROM explain_anomalies({call}, ({chosen}){rule})",
        )
        source, other = _TOP, ""
        if self._other is not None:
            source = f"model_predict({_call(self._other)}, (SELECT * FROM {_TOP}))"
            other = getattr(self._other.model, "prediction_col", "prediction")
        rows = self._ask.rows(
            "The same, with their global clusters" if other else "The same, in order",
            f"SELECT * FROM {source} ORDER BY {_OWN[1]} DESC, {columns.order}",
        )
        return tuple(
            Customer(
                name=_shown(row[columns.customer]) if columns.customer else f"row {number}",
                cluster=int(row[_OWN[0]]),
                score=float(row[_OWN[1]]),
                explanation=row[_OWN[2]],
                values=tuple(_number(row[c], None) for c in columns.numbers),
                global_cluster=int(row[other]) if other else None,
            )
            for number, row in enumerate(rows, 1)
        )

    def _agreement(self, call: str) -> Agreement | None:
        """Local against global clusters, over the same customers."""
        if self._other is None or not hasattr(self._other.model, "clusters"):
            return None
        rows = self._ask.rows(
            "Local against global clusters",
            f"SELECT * FROM match_clusters({call}, {_call(self._other)}, (SELECT * FROM {_ROWS}))",
        )
        return agreement_of(rows)

    # -- the picture ---------------------------------------------------------------------------

    def _picture(
        self,
        columns: Columns,
        features: Sequence[Feature],
        label: str,
        listed: Sequence[Customer],
        customers: int,
        anomalous: int,
    ) -> Picture | None:
        """Principal components of the standardised features: of every so many ordinary customers, and the anomalous."""
        used = [i for i, f in enumerate(features) if f.trained and f.deviation > 0]
        if len(used) < 2:
            return None
        shown = ", ".join(f"CAST({quoted(columns.numbers[i])} AS DOUBLE) AS v{i}" for i in used)
        every = max(math.ceil((customers - anomalous) / _SAMPLE), 1)
        ordinary = self._ask.rows(
            f"The picture: one in {every} of the ordinary customers"
            if every > 1
            else "The picture: ordinary customers",
            f"SELECT {label} AS cluster, {shown}\nFROM (SELECT *, ROW_NUMBER() OVER (ORDER BY anomaly_score, "
            f"{columns.order}) AS hanse_place FROM {_SCORED} WHERE NOT is_anomaly) AS ordinary\n"
            f"WHERE hanse_place % {every} = 0",
        )
        others = self._ask.rows(
            "The picture: anomalous customers who are not listed",
            f"SELECT {label} AS cluster, {shown}\nFROM (SELECT *, ROW_NUMBER() OVER (ORDER BY anomaly_score DESC, "
            f"{columns.order}) AS hanse_place FROM {_SCORED} WHERE is_anomaly) AS anomalous\n"
            f"WHERE hanse_place > {len(listed)} AND hanse_place <= {_MOST_ANOMALIES}",
        )
        values = [[row[f"v{i}"] for i in used] for row in (*ordinary, *others)]
        values += [[customer.values[i] for i in used] for customer in listed]
        table = np.array(values, dtype=np.float64).reshape(len(values), len(used))
        standard = (table - [features[i].mean for i in used]) / [features[i].deviation for i in used]
        drawn = len(others) + len(listed)
        weights = np.concatenate(
            [np.full(len(ordinary), float(every)), np.full(drawn, anomalous / drawn if drawn else 0.0)]
        )
        found = plane(standard, weights, [features[i].name for i in used])
        if found is None:
            return None
        clusters = [int(row["cluster"]) for row in (*ordinary, *others)] + [c.cluster for c in listed]
        first = len(ordinary) + len(others)
        points = tuple(
            Point(float(x), float(y), clusters[i], i - first if i >= first else None, i >= len(ordinary))
            for i, (x, y) in enumerate(found.coordinates)
        )
        return Picture(found.titles[0], found.titles[1], points, sum(found.share), len(points), customers)


def _call(loaded: LoadedModel) -> str:
    """A model as a table function names it."""
    return f"{quoted(loaded.info.name)}, {loaded.info.version}"


def agreement_of(rows: Sequence[Mapping[str, Any]]) -> Agreement:
    """What ``match_clusters`` found, for a report."""
    others = {
        int(r["global_prediction"]): GlobalCluster(
            int(r["global_prediction"]), int(r["global_rows"]), bool(r["global_is_anomaly"])
        )
        for r in rows
    }
    cells = tuple(Cell(int(r["local_prediction"]), int(r["global_prediction"]), int(r["rows"])) for r in rows)
    findings: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda r: -int(r["rows"])):  # of several pairs of one finding the largest is shown
        if row["finding"] == "global_only":
            findings.setdefault(("global", int(row["global_prediction"])), row)
        elif row["finding"]:
            findings.setdefault(("local", int(row["local_prediction"])), row)
    return Agreement(
        clusters=tuple(others[number] for number in sorted(others)),
        cells=cells,
        findings=tuple(
            _finding(kind, row)
            for (kind, _), row in sorted(findings.items(), key=lambda f: (f[0][0] == "global", f[0][1]))
        ),
        rand=_number(rows[0]["adjusted_rand_index"], None) if rows else None,
        information=_number(rows[0]["adjusted_mutual_information"], None) if rows else None,
        gained=sum(int(r["rows"]) for r in rows if r["global_is_anomaly"] and not r["local_is_anomaly"]),
        lost=sum(int(r["rows"]) for r in rows if r["local_is_anomaly"] and not r["global_is_anomaly"]),
    )


def _finding(kind: str, row: Mapping[str, Any]) -> Finding:
    return Finding(
        local=None if kind == "global" else int(row["local_prediction"]),
        global_number=None if row["finding"] == "missed" else int(row["global_prediction"]),
        finding=row["finding"],
        jaccard=None if kind == "global" else _number(row["jaccard"], None),
        distance=None if kind == "global" else _number(row["centroid_distance"], None),
    )


def _groups(found: Mapping[int, Mapping[str, Any]], numbers: int, customers: int) -> tuple[Cluster, ...]:
    """Ordinary and anomalous customers in the place of clusters."""
    return tuple(
        Cluster(
            number=number,
            customers=int(row["customers"]),
            share=int(row["customers"]) / customers,
            is_anomaly=number == 1,
            reason="",
            description="",
            means=tuple(_number(row[f"m{i}"], None) for i in range(numbers)),
            anomalies=int(row["anomalous"]),
            title="anomalous" if number == 1 else "ordinary",
        )
        for number, row in sorted(found.items())
    )


def _told(description: str) -> str:
    """What a description says beyond the cluster's kind and size, which stand beside it."""
    head, colon, rest = description.partition("): ")
    return rest if colon and "cluster (" in head else description


def _number(value: Any, otherwise: Any) -> Any:
    """A number that is one, as a float."""
    if value is None or not math.isfinite(float(value)):
        return otherwise
    return float(value)


def _shown(value: Any) -> str:
    return "NULL" if value is None else str(value)

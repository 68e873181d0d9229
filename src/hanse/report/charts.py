"""The pictures as Vega-Lite specifications; colours are the page's own, so that they follow its scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hanse.report.data import Agreement, Cluster, Feature, GlobalCluster, Part, Picture
from hanse.report.specs import (
    PHONE,
    WIDE,
    Drawing,
    Spec,
    at_both,
    by_cluster,
    framed,
    heat,
    own_colour,
    quantity,
)
from hanse.report.text import count, decimal, percent, score, shortened, signed
from hanse.report.words import cluster_name

__all__ = [
    "SEQUENTIAL_STEPS",
    "cluster_colour",
    "convergence",
    "flow",
    "map_of",
    "profile",
    "silhouettes",
    "sizes",
    "step_of",
]

SEQUENTIAL_STEPS: Final = 6
_ORDINARY: Final = 6
_ANOMALOUS: Final = 4
_EDGES: Final = (0.25, 0.75, 1.5, 3.0)  # standard deviations at which the colour changes
_STRETCHED: Final = 12.0  # standard deviations from which an axis is stretched


def sizes(part: Part) -> Drawing:
    """How many customers each cluster holds."""
    rows = [
        {
            "cluster": cluster_name(c.number, c.is_anomaly, c.title),
            "share": c.share,
            "text": f"{count(c.customers)} ({percent(c.share)})",
            "colour": colour,
        }
        for c, colour in zip(part.clusters, colours(part.clusters), strict=True)
    ]
    said = "; ".join(f"cluster {r['cluster']}: {r['text']}" for r in rows)
    share = quantity("share", "share of the customers", digits=".0%", domain=[0, 1.32], values=[0, 0.25, 0.5, 0.75, 1])
    bars = {
        "mark": {"type": "bar", "height": 18, "cornerRadiusEnd": 3},
        "encoding": {"x": share, "color": own_colour()},
    }
    text = {
        "mark": {"type": "text", "align": "left", "dx": 6, "fill": "var(--ink)"},
        "encoding": {"x": {"field": "share", "type": "quantitative"}, "text": {"field": "text"}},
    }
    return at_both(
        lambda width: by_cluster(rows, [bars, text], width), f"Bars: how many customers each cluster holds. {said}."
    )


def silhouettes(part: Part) -> Drawing | None:
    """How well each cluster is apart from the others."""
    known = [(c, k) for c, k in zip(part.clusters, colours(part.clusters), strict=True) if c.silhouette is not None]
    if not known:
        return None
    rows = [
        {
            "cluster": cluster_name(c.number, c.is_anomaly, c.title),
            "silhouette": c.silhouette,
            "text": decimal(c.silhouette),
            "colour": colour,
        }
        for c, colour in known
    ]
    low = min(0.0, *(c.silhouette or 0.0 for c, _ in known))
    x = quantity(
        "silhouette",
        "silhouette",
        domain=[-1 if low < 0 else 0, 1.25 if low < 0 else 1.14],
        values=[-1, -0.5, 0, 0.5, 1],
    )
    bars = {"mark": {"type": "bar", "height": 18, "cornerRadiusEnd": 3}, "encoding": {"x": x, "color": own_colour()}}
    text = {
        "mark": {"type": "text", "align": "left", "dx": 6, "fill": "var(--ink)"},
        "encoding": {"x": {"datum": 1.0}, "text": {"field": "text"}},
    }
    layers: list[Spec] = [bars, text]
    if part.silhouette is not None:
        layers.append(
            {
                "mark": {"type": "rule", "stroke": "var(--ink)", "strokeDash": [4, 3]},
                "encoding": {"x": {"datum": part.silhouette}, "y": {"value": 0}, "y2": {"value": "height"}},
            }
        )
    said = "; ".join(f"cluster {r['cluster']}: {r['text']}" for r in rows)
    whole = f" All customers: {decimal(part.silhouette)}." if part.silhouette is not None else ""
    return at_both(
        lambda width: by_cluster(rows, layers, width),
        f"Bars: the mean silhouette of each cluster, from minus 1 to 1. {said}.{whole}",
    )


def profile(part: Part, features: Sequence[int], *, standardised: bool) -> Drawing:
    """What each cluster is like: a cell for each feature and cluster.

    Args:
        part: whose clusters.
        features: which of the part's, by index.
        standardised: in standard deviations from the mean; else in the column's own units. Colours are the same.
    """
    clusters = [c for c in part.clusters if c.customers]
    cells = []
    for i in features:
        feature = part.features[i]
        for c in clusters:
            mean = c.means[i]
            z = away(mean, feature)
            cells.append(
                {
                    "row": feature.name,
                    "column": cluster_name(c.number, c.is_anomaly, c.title),
                    "text": signed(z) if standardised else decimal(mean),
                    "step": step_of(z),
                }
            )
    unit = "standard deviations from the average customer" if standardised else "the columns' own units"
    return heat(
        cells,
        "customers" if part.grouped else "cluster",
        "d",
        f"Heat map of {len(features)} features by {len(clusters)} clusters, in {unit}; the table of profiles below has "
        "the same numbers.",
    )


def flow(agreement: Agreement, locals_: Sequence[Cluster] | Sequence[GlobalCluster]) -> Drawing:
    """Where each local cluster's customers are in the global model."""
    kinds = {c.number: c.is_anomaly for c in locals_}
    whole = {c.number: c.customers for c in locals_}
    found = {(cell.local, cell.global_number): cell.customers for cell in agreement.cells}
    cells = []
    for local in sorted(kinds):
        for other in agreement.clusters:
            customers = found.get((local, other.number), 0)
            share = (customers or 0) / whole[local] if whole[local] else 0.0
            cells.append(
                {
                    "row": f"local {cluster_name(local, kinds[local])}",
                    "column": cluster_name(other.number, other.is_anomaly),
                    "text": "withheld" if customers is None else count(customers) if customers else "·",
                    "step": 0 if not customers else min(1 + int(share * (SEQUENTIAL_STEPS - 1)), SEQUENTIAL_STEPS - 1),
                }
            )
    return heat(
        cells,
        "global cluster",
        "s",
        f"Heat map: how many customers of each of {len(kinds)} local clusters are in each of "
        f"{len(agreement.clusters)} global clusters; the table below has the same numbers.",
    )


def map_of(part: Part, picture: Picture, key: str) -> Drawing:
    """The customers on a plane; anomalous ones are links to their rows of the table.

    Args:
        part: whose customers.
        picture: where they are.
        key: tells this part's customers from those of other parts.
    """
    shown = sum(p.customer is not None for p in picture.points)
    description = (
        f"Scatter plot of {count(len(picture.points))} customers on two axes, which show {percent(picture.share)} of "
        f"how they differ. Across: {picture.x_title}. Up: {picture.y_title}. Anomalous customers are diamonds; "
        f"{shown} of them are links to their rows in the table of anomalous customers."
    )
    return Drawing(
        _scatter(part, picture, key, WIDE, 460, 1), description, _scatter(part, picture, key, PHONE, 360, 3), False
    )


def convergence(rounds: Sequence[tuple[int, float]]) -> Drawing:
    """Inertia by round."""
    rows = [{"round": number, "inertia": inertia} for number, inertia in rounds]
    spec = {
        "data": {"values": rows},
        "mark": {"type": "line", "point": {"size": 40, "fill": "var(--o0)"}, "stroke": "var(--o0)"},
        "encoding": {
            "x": {"field": "round", "type": "quantitative", "axis": {"tickMinStep": 1, "format": "d"}},
            "y": {"field": "inertia", "type": "quantitative", "scale": {"zero": False}},
        },
    }
    first, last = rounds[0], rounds[-1]
    return at_both(
        lambda width: framed(spec, width, 220),
        f"Line: inertia by round, from {decimal(first[1])} in round {first[0]} to {decimal(last[1])} in round "
        f"{last[0]}.",
    )


def away(mean: float | None, feature: Feature) -> float | None:
    """Standard deviations from the average customer."""
    if mean is None:
        return None
    return (mean - feature.mean) / feature.deviation if feature.deviation > 0 else 0.0


def step_of(z: float | None) -> int:
    """The colour of a standardised value: 0 far below, 4 average, 8 far above.

    >>> [step_of(z) for z in (None, -9, -0.3, 0, 0.3, 1, 2, 9)]
    [4, 0, 3, 4, 5, 6, 7, 8]
    """
    if z is None:
        return 4
    distance = sum(abs(z) >= edge for edge in _EDGES)
    return 4 + (distance if z > 0 else -distance)


def colours(clusters: Sequence[Cluster]) -> list[str]:
    """A colour for each cluster: cool ones for ordinary clusters, warm ones for anomaly clusters."""
    kinds = {c.number: c.is_anomaly for c in clusters}
    return [cluster_colour(c.number, kinds) for c in clusters]


def cluster_colour(number: int, kinds: dict[int, bool]) -> str:
    """The colour of one cluster.

    Args:
        number: of the cluster.
        kinds: whether each cluster is an anomaly cluster, by number.
    """
    alike = [n for n in sorted(kinds) if kinds[n] == kinds[number]]
    place = alike.index(number)
    return f"var(--a{place % _ANOMALOUS})" if kinds[number] else f"var(--o{place % _ORDINARY})"


# -- how they are built -------------------------------------------------------------------------


def _scatter(part: Part, picture: Picture, key: str, width: int, height: int, every: int) -> Spec:
    """The picture at one width; a narrow one leaves out ordinary customers, ``every`` third say, to stay readable."""
    kinds = {c.number: c.is_anomaly for c in part.clusters}
    ordinary, anomalous = [], []
    for number, point in enumerate(picture.points):
        row = {"x": round(point.x, 4), "y": round(point.y, 4), "colour": cluster_colour(point.cluster, kinds)}
        if not point.is_anomaly:
            if number % every == 0:
                ordinary.append(row)
        elif point.customer is None:
            anomalous.append({**row, "label": "", "link": ""})
        else:
            customer = part.listed[point.customer]
            label = ", ".join(
                [
                    shortened(customer.name, 60),
                    *([] if part.grouped else [f"cluster {customer.cluster}"]),
                    f"score {score(customer.score)}",
                ]
            )
            anomalous.append({**row, "label": label, "link": f"#{key}-{point.customer}"})
    x, y = _axis("x", picture.x_title, picture.points, width), _axis("y", picture.y_title, picture.points, height)
    linked = {"description": {"field": "label"}, "href": {"field": "link"}}
    size = 16 if width > PHONE else 12
    layers = [
        {
            "data": {"values": ordinary},
            "mark": {"type": "point", "filled": True, "shape": "circle", "size": size, "opacity": 0.55, "aria": False},
            "encoding": {"x": x, "y": y, "color": own_colour()},
        },
        {
            "data": {"values": [row for row in reversed(anomalous) if not row["link"]]},
            "mark": {
                "type": "point",
                "filled": True,
                "shape": "diamond",
                "size": 44,
                "aria": False,
                "stroke": "var(--card)",
                "strokeWidth": 0.75,
            },
            "encoding": {"x": x, "y": y, "color": own_colour()},
        },
        {
            "data": {"values": [row for row in reversed(anomalous) if row["link"]]},
            "mark": {
                "type": "point",
                "filled": True,
                "shape": "diamond",
                "size": 90,
                "opacity": 0.95,
                "stroke": "var(--ink)",
                "strokeWidth": 0.75,
            },
            "encoding": {"x": x, "y": y, "color": own_colour(), **linked},
        },
    ]
    return framed({"layer": [layer for layer in layers if layer["data"]["values"]]}, width, height)  # type: ignore[index]


def _axis(field: str, title: str, points: Sequence[Any], room: int) -> Spec:
    """A linear axis; where a few customers are very far out, one that is stretched about 0."""
    farthest = max(abs(getattr(p, field)) for p in points)
    stretched = farthest > _STRETCHED
    limit = max(room // 8, 20)
    return {
        "field": field,
        "type": "quantitative",
        "title": shortened(f"{title}{' (stretched near 0)' * stretched} →", limit),
        "scale": {"type": "symlog", "constant": 2} if stretched else {"nice": True, "zero": False},
        "axis": {"tickCount": 6, "format": "~g", "grid": True},
    }

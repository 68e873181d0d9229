"""Why a row is anomalous: its largest deviations from ordinary rows, ranked and put into words within SQL."""

from __future__ import annotations

from collections.abc import Mapping

from hanse import expressions as e
from hanse.anomalies.words import NOTABLE_SD, readable

__all__ = ["TOP", "explained"]

TOP = 3
"""How many features an explanation names."""

_LARGE = 99.95  # from here on without digits after the point
_MOST = 1e15  # standard deviations, still a whole number of 64 bits

Layers = tuple[Mapping[str, e.Expression], ...]


def explained(contributions: Mapping[str, e.Expression]) -> tuple[Layers, dict[str, tuple[str, e.Expression]]]:
    """The features that carry a row's score.

    The largest deviation is found, put aside, and the next one found: d expressions for each place, where ranking all
    at once would take d squared.

    Args:
        contributions: by feature the row's signed deviation, in standard deviations of ordinary rows.

    Returns:
        layers of intermediate columns; and by name the type and expression of each output: ``feature_1``,
        ``deviation_1`` ... to :data:`TOP`, NULL where there are fewer features, and ``explanation``.
    """
    names = list(contributions)
    sizes = {f"__hanse_size{j}": e.absolute(e.column(f"__hanse_by{j}")) for j in range(len(names))}
    layers: list[Mapping[str, e.Expression]] = [
        {f"__hanse_by{j}": value for j, value in enumerate(contributions.values())},
        sizes,
    ]
    places = min(TOP, len(names))
    left = [e.column(name) for name in sizes]
    for place in range(places):
        top, most = f"__hanse_top{place}", f"__hanse_most{place}"
        layers.append({most: e.greatest([e.again(x) for x in left])})
        branches = [e.when(e.equal(e.again(x), e.column(most)), e.integer(j)) for j, x in enumerate(left[:-1])]
        layers.append({top: e.case(branches, e.integer(len(left) - 1))})
        if place + 1 < places:
            rest = {
                f"__hanse_left{place}_{j}": e.case(
                    [e.when(e.equal(e.column(top), e.integer(j)), e.number(-1.0))], e.again(x)
                )
                for j, x in enumerate(left)
            }
            layers.append(rest)
            left = [e.column(name) for name in rest]
    outputs: dict[str, tuple[str, e.Expression]] = {}
    phrases: dict[str, e.Expression] = {}
    for place in range(TOP):
        feature: e.Expression = e.null("VARCHAR")
        deviation: e.Expression = e.null("DOUBLE")
        if place < places:
            feature = _chosen(place, [e.string(name) for name in names])
            deviation = _chosen(place, [e.column(f"__hanse_by{j}") for j in range(len(names))])
            word = _chosen(place, [e.string(f"{readable(name)} ") for name in names])
            phrases[f"__hanse_phrase{place}"] = e.joined([word, *_worded(place, names)])
        outputs[f"feature_{place + 1}"] = "VARCHAR", feature
        outputs[f"deviation_{place + 1}"] = "DOUBLE", deviation
    layers.append({f"__hanse_dev{p}": _chosen(p, _columns("__hanse_by", names)) for p in range(places)})
    layers.append(phrases)
    outputs["explanation"] = "VARCHAR", _sentence(places)
    return tuple(layers), outputs


def _columns(prefix: str, names: list[str]) -> list[e.Expression]:
    return [e.column(f"{prefix}{j}") for j in range(len(names))]


def _chosen(place: int, values: list[e.Expression]) -> e.Expression:
    """The value of the feature in that place."""
    top = e.column(f"__hanse_top{place}")
    branches = [e.when(e.equal(e.again(top), e.integer(j)), value) for j, value in enumerate(values[:-1])]
    return e.case(branches, values[-1])


def _worded(place: int, names: list[str]) -> list[e.Expression]:
    """``5.2 sd above``."""
    deviation = e.column(f"__hanse_dev{place}")
    size = e.least([e.absolute(e.again(deviation)), e.number(_MOST)])
    whole = e.as_text(e.as_whole(e.rounded(e.again(size), 0)))
    fine = e.as_text(e.rounded(e.again(size), 1))
    digits = e.case([e.when(e.at_least(size, e.number(_LARGE)), whole)], fine)
    side = e.case([e.when(e.at_least(deviation, e.number(0.0)), e.string(" sd above"))], e.string(" sd below"))
    return [digits, side]


def _sentence(places: int) -> e.Expression:
    """The phrases of all deviations that are worth a word, the largest in any case."""
    parts = [e.column("__hanse_phrase0")]
    for place in range(1, places):
        notable = e.at_least(e.column(f"__hanse_most{place}"), e.number(NOTABLE_SD))
        phrase = e.joined([e.string(", "), e.column(f"__hanse_phrase{place}")])
        parts.append(e.case([e.when(notable, phrase)], e.string("")))
    return e.joined([*parts, e.string(" ordinary customers")])

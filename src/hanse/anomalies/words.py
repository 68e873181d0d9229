"""Numbers about features as short phrases: ``orders 5.2 sd above``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["NOTABLE_SD", "deviation", "listed", "percent", "readable"]

NOTABLE_SD = 0.5
"""A smaller deviation is not worth a word beside a larger one."""

_AFFIX = re.compile(
    r"^(standardi[sz]ed|scaled|normali[sz]ed)_(?=.)|(?<=.)_(z|zscore|z_score|scaled|std)$", re.IGNORECASE
)


def readable(feature: str) -> str:
    """A feature's name as a person says it; that it was standardised does not matter among standard deviations.

    >>> readable("standardized_avg_order_value"), readable("orders_z"), readable("z")
    ('avg order value', 'orders', 'z')
    """
    return " ".join(_AFFIX.sub("", feature).replace("_", " ").split()) or feature


def deviation(value: float) -> str:
    """A signed number of standard deviations.

    >>> deviation(5.21), deviation(-0.94), deviation(1234.5)
    ('5.2 sd above', '0.9 sd below', '1,234 sd above')
    """
    size = abs(value)
    return f"{size:,.0f} sd {_side(value)}" if size >= 99.95 else f"{size:.1f} sd {_side(value)}"


def _side(value: float) -> str:
    return "above" if value >= 0 else "below"


def listed(features: Sequence[str], deviations: Iterable[float], most: int = 3) -> str:
    """The largest deviations of a profile, the largest first.

    >>> listed(["orders", "recency", "size"], [5.2, -0.9, 0.1])
    'orders 5.2 sd above, recency 0.9 sd below'
    """
    ranked = sorted(zip(deviations, features, strict=True), key=lambda pair: -abs(pair[0]))[:most]
    told = [f"{readable(f)} {deviation(v)}" for v, f in ranked if abs(v) >= NOTABLE_SD]
    return ", ".join(told)


def percent(share: float) -> str:
    """A share, with as many digits as it needs.

    >>> percent(0.794), percent(0.05), percent(0.0042), percent(0.00001), percent(1.0)
    ('79.4 %', '5 %', '0.42 %', '0.001 %', '100 %')
    """
    if share <= 0 or share >= 1:
        return f"{share * 100:.0f} %"
    return f"{share * 100:.1f} %".replace(".0 %", " %") if share >= 0.01 else f"{share * 100:.2g} %"

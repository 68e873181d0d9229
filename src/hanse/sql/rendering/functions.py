"""Every scalar function that is rendered, by name; one file per family."""

from __future__ import annotations

from hanse.sql.rendering.arrays import ARRAYS
from hanse.sql.rendering.call import Function
from hanse.sql.rendering.conditionals import CONDITIONALS
from hanse.sql.rendering.dates import DATES
from hanse.sql.rendering.lambdas import LAMBDAS
from hanse.sql.rendering.maps import MAPS
from hanse.sql.rendering.math import MATH
from hanse.sql.rendering.refusals import REFUSALS
from hanse.sql.rendering.separators import SEPARATORS
from hanse.sql.rendering.strings import STRINGS

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[str, Function] = {
    **REFUSALS,
    **CONDITIONALS,
    **STRINGS,
    **SEPARATORS,
    **MATH,
    **DATES,
    **ARRAYS,
    **LAMBDAS,
    **MAPS,
}

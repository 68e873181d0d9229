"""Why a peer is faster where it is: the page lists such cases under what is written here."""

from __future__ import annotations

from fnmatch import fnmatchcase

from benchmarks.report import Slower

__all__ = ["EXPLANATIONS", "explain"]

_FEW_ROWS = (
    "A statement costs some tens of milliseconds however few its rows (parsing, a copy, about ten scans, the "
    "registry), where a peer only computes:"
)
_ONE_START = (
    "A single start that soon comes to rest is cheap. Hanse lets several starts compete, and takes a scan of all rows "
    "for every step that all its splits take together:"
)
_MANY_FEATURES = (
    "Hanse opens a split along the principal axes of a cluster's covariance, for which the database adds up "
    "d (d + 1) / 2 products of d features, each an expression of its own: 2,080 at 64 features. The peers' distances "
    "grow in proportion to d. A profile of 1,000,000 rows of 64 features on DuckDB: two scans for covariances take "
    "55 % of the time, five of Lloyd's iteration and one more 21 %, two for sketches 18 %, the copy of the rows 4 %:"
)
_WIDE_ON_SPARK = (
    "Spark makes Java code of each query, with a round's numbers in it, so every round's is new; and at 64 features "
    "its methods are longer than the 8,000 bytes that Java compiles, so they are interpreted. A profile of 100,000 "
    "rows of 64 features: a step takes 5.5 s, of which planning 0.5 s, the sums 2.7 s (1.5 s with "
    "`-XX:-DontCompileHugeMethods`), and the rest goes into making the code; the scan with 2,080 products 20 s at "
    "first, 9 s again:"
)
_LABELS = "Hanse finds each row's cluster as well, which the peer is given, and takes a statement's fixed costs:"
_MORE_THAN_DUCKDB = (
    "The command starts DuckDB as well, and beside it the command line, the parser and a registry of models:"
)

EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    ("Training: * 64 features, *", "*MLlib*", _WIDE_ON_SPARK),
    ("Training: * 16 features, *", "*", _MANY_FEATURES),
    ("Training: * 64 features, *", "*", _MANY_FEATURES),
    ("Training: *100,000 rows, *", "*", _FEW_ROWS),
    ("Training: 10,000 rows, *", "*", _FEW_ROWS),
    ("Training from a file: 1,000,000 rows", "*", _FEW_ROWS),
    ("Evaluation: *", "NumPy*", _LABELS),
    ("Starting: *", "`duckdb.sql*", _MORE_THAN_DUCKDB),
    ("Training: *", "scikit-learn*", _ONE_START),
)
"""Case and peer, with ``*`` for any text, and why; the first that fits counts."""


def explain(slower: Slower) -> str:
    """Why the peer is faster; says so where nobody has explained it yet."""
    for case, peer, why in EXPLANATIONS:
        if fnmatchcase(slower.case, case) and fnmatchcase(slower.peer, peer):
            return why
    return "Not explained yet:"

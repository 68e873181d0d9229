"""How Spark's meaning is written for DuckDB: types, scopes, and one file of rewrites per family of functions."""

"""Database engines, one file each: they run SQL and compute observations where the rows are."""

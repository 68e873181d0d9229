"""Models that Spark MLlib saved, read without Spark and without Java."""

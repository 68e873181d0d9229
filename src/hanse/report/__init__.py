"""A report: pure data in, one self-contained HTML file out."""

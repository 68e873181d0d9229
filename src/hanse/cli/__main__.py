"""``python -m hanse.cli`` is ``hanse``."""

from hanse.cli import main

main()

"""``python -m nbvertex``."""

from nbvertex.cli import main

main()

"""``python -m stream``: the same as ``meander``."""

from stream.cli import main

main(prog_name="meander")

"""Command line: ``python -m flows <name> --help``, the same as ``ztf``."""

from flows.cli.main import run

run()

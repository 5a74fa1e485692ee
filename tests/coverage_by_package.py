"""``python -m tests.coverage_by_package``: lines and branches that the tests reached, package by package.

A package below its floor ends it with 1.  Floors only rise: raise one where a line says that it may.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

FLOORS: dict[str, float] = {"lib/ztf_in2p3": 80.0, "tasks": 70.0, "flows": 70.0}
"""Percent, of whole layers."""


def main() -> int:
    """Print the table; exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(report)], check=True)
        files = json.loads(report.read_text())["files"]
    packages: dict[str, Counter[str]] = defaultdict(Counter)
    for name, about in files.items():
        for package in packages_of(Path(name)):
            packages[package].update({key: about["summary"].get(key, 0) for key in COUNTED})
    below = []
    for package, counts in sorted(packages.items()):
        percent = share(counts)
        sys.stdout.write(f"{package:36s} {percent:6.1f} %\n")
        if percent < FLOORS.get(package, 0.0):
            below.append(f"{package}: {percent:.1f} % is below its floor of {FLOORS[package]:.1f} %")
    sys.stdout.write("".join(f"{line}\n" for line in below))
    return 1 if below else 0


COUNTED = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def packages_of(path: Path) -> list[str]:
    """The layer of a file, and its package below it."""
    parts = path.parts
    depth = 2 if parts[0] == "lib" else 1
    layer = "/".join(parts[:depth])
    return [layer] if len(parts) <= depth + 1 else [layer, "/".join(parts[: depth + 1])]


def share(counts: Counter[str]) -> float:
    """Percent of lines and branches reached."""
    whole = counts["num_statements"] + counts["num_branches"]
    return 100.0 * (counts["covered_lines"] + counts["covered_branches"]) / whole if whole else 100.0


if __name__ == "__main__":
    sys.exit(main())

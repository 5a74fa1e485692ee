"""Build hook: a wheel knows the commit it was built from, and brings the default deployments along."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STAMP = "ztf_in2p3/_build.py"


class StampHook(BuildHookInterface):
    """An editable installation is left alone: it asks git itself, as its commit changes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root, sdist = Path(self.root), self.target_name == "sdist"
        if not sdist:
            build_data["force_include"][str(root / "deployments")] = "tasks/deployments"
            build_data["force_include"][str(root / "prefect.yaml")] = "tasks/deployments/prefect.yaml"
        if (root / "lib" / STAMP).is_file():  # of the source distribution, which has no history of its own
            return
        stamp = Path(tempfile.mkdtemp()) / "_build.py"
        stamp.write_text(f'"""Written when this distribution was built."""\n\nCOMMIT = "{commit(root)}"\n')
        build_data["force_include"][str(stamp)] = f"lib/{STAMP}" if sdist else STAMP


def commit(root: Path) -> str:
    """Short commit of the checkout, with "-dirty" if files differ from it; "unknown" outside of a checkout."""
    try:
        top, describe = (
            subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--show-toplevel"), ("describe", "--always", "--dirty"))
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return describe if Path(top).resolve() == root.resolve() else "unknown"

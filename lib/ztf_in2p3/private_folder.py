"""A folder of this user's own in the machine's temporary one, into which nobody else can put files."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def private_folder(parent: Path) -> Path | None:
    """The folder, made if it is not there; None where it cannot be made, or belongs to or is open to somebody else."""
    private = parent / f"ztf_in2p3-{os.getuid()}"
    with contextlib.suppress(OSError):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = private.lstat()
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022:
            return private
    return None

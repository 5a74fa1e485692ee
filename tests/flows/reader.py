"""A program that looks at a store again and again and reads whatever it finds.

``python -m tests.flows.reader STORE STOP`` stops when the file STOP exists; prints how many
products it read, and fails at the first one that is not whole.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

from tasks.runtime.settings import store_at
from ztf_in2p3.products import Kind
from ztf_in2p3.store.parquet import read_table

MADE = (Kind.BIAS, Kind.LED_FLAT, Kind.FLAT, Kind.FOCAL_PLANE, Kind.CATALOGUE)


def main(url: str, stop: Path) -> int:
    store, n_read = store_at(url), 0
    while True:
        last = stop.exists()
        for kind in MADE:
            for built in store.list(kind):
                with store.open(built) as path:
                    content = path.read_bytes()
                    if hashlib.sha256(content).hexdigest() != built.sha256 or len(content) != built.size:
                        raise AssertionError(f"{built.ref.address} is not what its manifest says")
                    if path.suffix == ".parquet":
                        read_table(path)
                n_read += 1
        if last:
            return n_read
        time.sleep(0.05)  # leaves the processor to those who make something


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1], Path(sys.argv[2]))))

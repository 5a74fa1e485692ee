"""Places for a store, and what can befall the files in them behind the store's back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Kind, ProductRef, bias_ref
from ztf_in2p3.recipes import BiasRecipe
from ztf_in2p3.store import Provenance

RECIPE = BiasRecipe()
NIGHT = Period.of(date(2019, 4, 5))


def now() -> datetime:
    return datetime.now(timezone(timedelta(0)))


PROVENANCE = Provenance("ztf_in2p3 0.1.0", "0123abc", "testhost", now, time.perf_counter, time.process_time)


class Place(Protocol):
    """Direct access to the files of a store, without its code."""

    url: str

    def read(self, path: str) -> bytes: ...

    def write(self, path: str, content: bytes) -> None: ...

    def remove(self, path: str) -> None: ...

    def paths(self) -> list[str]: ...


@dataclass
class Disk:
    root: Path

    @property
    def url(self) -> str:
        return str(self.root)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)  # same inode, new time, like a careless program

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def paths(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())


@dataclass
class Bucket:
    client: object
    """Of boto3."""
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/a/store"

    def read(self, path: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=f"a/store/{path}")["Body"].read()

    def write(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"a/store/{path}", Body=content)

    def remove(self, path: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"a/store/{path}")

    def paths(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return sorted(entry["Key"].removeprefix("a/store/") for entry in listed)


@dataclass
class Maker:
    """Writes known bytes, and remembers how often it was asked to."""

    content: bytes = b"Z" * 2880
    about: Mapping[str, object] = field(default_factory=lambda: {"n_frame": 10, "level": 1.5, "led": None, "ok": True})
    calls: int = 0

    def __call__(self, spool: Path) -> Mapping[str, object]:
        self.calls += 1
        spool.write_bytes(self.content)
        return self.about


def bias(ccdid: int = 3, recipe: BiasRecipe = RECIPE, period: Period = NIGHT) -> ProductRef:
    return bias_ref(recipe, period, ccdid)


def raw(n: int, sha256: str = "0" * 64) -> Built:
    name = f"2019040512345{n}_000655_zr_b/c03"
    return Built(ProductRef(Kind.RAW, "-", name, f"ztf_{n}.fits.fz"), sha256, 2880)


def manifest_of(ref: ProductRef) -> str:
    return f"{ref.address}/manifest.json"

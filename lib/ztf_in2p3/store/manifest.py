"""What is written beside each product: what it is, of what it was made, by whom.

The names follow PROV (W3C, 2013-04-30): an entity, what it used, the activity that
generated it, and the agent that ran.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np

from ztf_in2p3 import recipes
from ztf_in2p3.camera import Camera
from ztf_in2p3.products import Built, Kind, ProductRef, Value

FORMAT = "ztf_in2p3 manifest 1"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who makes products, and by which clocks; pickles if its functions do."""

    package: str
    """Name and version."""
    git: str
    """Commit, marked if the tree was changed since."""
    host: str
    now: Callable[[], datetime]
    wall: Callable[[], float]
    """Seconds; only differences count."""
    cpu: Callable[[], float]
    """CPU seconds of this process; only differences count."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Record of what one product is and from what it was made.  `str` and `parse` are inverses."""

    ref: ProductRef
    sha256: str
    size: int
    """Bytes."""
    stamp: str
    """Stamp of the file when it was written; another one means: look at the content."""
    inputs: tuple[Built, ...]
    """Inputs, each with its reference, digest and size."""
    recipe: str | None
    """Canonical text of the recipe, whose digest is in the reference."""
    fingerprint: str
    package: str
    git: str
    host: str
    started: datetime
    wall_s: float
    cpu_s: float
    about: Mapping[str, Value] = field(default_factory=dict)

    @property
    def built(self) -> Built:
        """The product that the manifest describes."""
        return Built(self.ref, self.sha256, self.size, about=dict(self.about), found=True)

    def __str__(self) -> str:
        content = {
            "format": FORMAT,
            "entity": {**_entity(self.ref, self.sha256, self.size), "stamp": self.stamp},
            "used": [_entity(product.ref, product.sha256, product.size) for product in self.inputs],
            "activity": {
                "recipe": self.recipe,
                "fingerprint": self.fingerprint,
                "started": self.started.isoformat(),
                "wall_s": self.wall_s,
                "cpu_s": self.cpu_s,
            },
            "agent": {"package": self.package, "git": self.git, "host": self.host},
            "about": dict(self.about),
        }
        return json.dumps({**content, "seal": _seal(content)}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Inverse of `str`.

        Raises
        ------
        ValueError
            The text was cut, altered, or is something else.
        """
        try:
            content = json.loads(text)
            seal = content.pop("seal")
            if content["format"] != FORMAT or seal != _seal(content):
                raise ValueError(
                    f"expected a sealed {FORMAT!r}, got a {content['format']!r} that its seal does not fit"
                )
            ref, sha256, size = _product(content["entity"])
            activity, agent = content["activity"], content["agent"]
            return cls(
                ref,
                sha256,
                size,
                content["entity"]["stamp"],
                tuple(Built(*_product(entity)) for entity in content["used"]),
                activity["recipe"],
                activity["fingerprint"],
                agent["package"],
                agent["git"],
                agent["host"],
                datetime.fromisoformat(activity["started"]),
                activity["wall_s"],
                activity["cpu_s"],
                content["about"],
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no {FORMAT!r}: {error!r}") from error


def fingerprint(kind: Kind, recipe: object | None, inputs: Sequence[Built], camera: Camera | None = None) -> str:
    """Digest of everything that a product follows from: kind, recipe, camera, addresses and content of the inputs.

    What is computed with the geometry, gain or saturation of one camera is not what another would give.  What is only
    fetched (no recipe) is the same whoever asks for it.

    The order of the inputs counts.  Most products do not depend on it, but where one did and
    this did not, a wrong product would pass for the right one; the other way round, one is
    made once too often and comes out the same.  Who collects inputs sorts them.
    """
    return fingerprint_of_text(kind, None if recipe is None else recipes.canonical(recipe), inputs, camera)


def fingerprint_of_text(kind: Kind, recipe: str | None, inputs: Sequence[Built], camera: Camera | None = None) -> str:
    """Fingerprint by the canonical text of a recipe, as manifests hold it."""
    used = [[product.ref.address, product.sha256] for product in inputs]
    if recipe is None:
        return _digest([kind, None, used])
    with_camera = [] if camera is None else [recipes.canonical(camera)]
    return _digest([kind, recipe, used, *with_camera])


def plain(about: Mapping[str, Any]) -> dict[str, Value]:
    """Values as a manifest can hold them: numpy's numbers become Python's, and what is not finite None.

    Raises
    ------
    TypeError
        A value is neither text, number, truth value nor None.
    """
    return {str(key): _plain(key, value) for key, value in about.items()}


def _plain(key: str, value: Any) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, Value):
        raise TypeError(f"{key!r} of what is noted about a product is a {type(value).__name__}, not text or a number")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, str) else value


def _entity(ref: ProductRef, sha256: str, size: int) -> dict[str, Value]:
    return {
        "kind": str(ref.kind),
        "recipe": ref.recipe,
        "data_id": ref.data_id,
        "file": ref.file_name,
        "sha256": sha256,
        "size": size,
    }


def _product(entity: Mapping[str, Any]) -> tuple[ProductRef, str, int]:
    ref = ProductRef(Kind(entity["kind"]), entity["recipe"], entity["data_id"], entity["file"])
    return ref, entity["sha256"], entity["size"]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _seal(content: object) -> str:
    """Short digest: enough against accident."""
    return _digest(content)[:16]

"""A store with a night in miniature: raw frames, a bias, a LED's flat, a flat, two catalogues; all real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.lib.store.places import NIGHT, PROVENANCE
from ztf_in2p3.camera import TINY
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.products import Built, bias_ref, catalogue_ref, flat_ref, led_flat_ref, raw_ref
from ztf_in2p3.recipes import CatalogueRecipe
from ztf_in2p3.store import Store, open_store
from ztf_in2p3.store.fits import Plane, write_fits
from ztf_in2p3.store.parquet import write_table

RECIPE = CatalogueRecipe()
FLAT = RECIPE.quadrant.focal_plane.flat
CCD = 3


def image(seed: int, level: float = 100.0):
    """Writes an image of noise around a level, which its primary header notes."""

    def make(path: Path) -> dict[str, float]:
        pixels = np.random.default_rng(seed).normal(level, 5, (64, 64))
        write_fits(path, [Plane("Q1", pixels, "adu")], {"LEVEL": level})
        return {"level": level}

    return make


def table(seed: int):
    def make(path: Path) -> dict[str, int]:
        flux = np.random.default_rng(seed).normal(1000, 30, 50)
        write_table(path, pa.table({"source_id": np.arange(50), "flux": flux}))
        return {"n_stars": 50}

    return make


def exposure(number: int, kind: ImageType, filter: Filter = Filter.ZG) -> CcdExposure:
    return CcdExposure(Exposure(f"20190405{number:06d}", 655, filter, kind), CCD)


class Night:
    """The products by short names, and the store that holds them."""

    def __init__(self, root: Path, *, git: str = "0123abc") -> None:
        self.root = root
        self.store: Store = replace(open_store(str(root), replace(PROVENANCE, git=git)), camera=TINY)
        self.products: dict[str, Built] = {}
        for n in (1, 2, 3):
            self.fetch(f"bias frame {n}", exposure(n, ImageType.BIAS, Filter.BIAS), n)
        for n in (11, 12):
            self.fetch(f"flat frame {n}", exposure(n, ImageType.FLAT), n)
        for n in (21, 22):
            self.fetch(f"sky {n}", exposure(n, ImageType.OBJECT), n)
        self.reduce()

    def reduce(self) -> None:
        """Build everything that is computed; what is there is found."""
        biases = [self[f"bias frame {n}"] for n in (1, 2, 3)]
        self.make("bias", bias_ref(FLAT.led.bias, NIGHT, CCD), FLAT.led.bias, biases, image(101))
        frames = [self["bias"], *(self[f"flat frame {n}"] for n in (11, 12))]
        self.make("led flat", led_flat_ref(FLAT.led, NIGHT, Filter.ZG, 2, CCD), FLAT.led, frames, image(102))
        self.make("flat", flat_ref(FLAT, NIGHT, Filter.ZG, CCD), FLAT, [self["led flat"]], image(103))
        for n in (21, 22):
            ref = catalogue_ref(RECIPE, exposure(n, ImageType.OBJECT))
            self.make(f"catalogue {n}", ref, RECIPE, [self[f"sky {n}"], self["bias"], self["flat"]], table(n))

    def fetch(self, name: str, ccd: CcdExposure, seed: int) -> None:
        self.products[name] = self.store.build(raw_ref(ccd), None, [], image(seed))

    def make(self, name, ref, recipe, inputs, make) -> None:
        self.products[name] = self.store.build(ref, recipe, inputs, make)

    def __getitem__(self, name: str) -> Built:
        return self.products[name]

    def file(self, name: str) -> Path:
        return self.root / self[name].ref.path

    def manifest(self, name: str) -> Path:
        return self.file(name).with_name("manifest.json")

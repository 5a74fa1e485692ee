"""Calibration of the Zwicky Transient Facility, from raw frames to light curves.

>>> import ztf_in2p3 as ztf

Products: `open_store`, `ProductStore` (list, find, read, explain, light curves).
Images: `read_image`, `read_master`, `make_bias`, `make_flat`, `detrend_raw`, `SkyImage`, `MaskBit`.
Photometry: `detect_stars`, `aperture_photometry`, `fit_psf`, `psf_photometry`.
Own tables: `read_measurements`, `fit_starflat`, `fit_ubercal`; `StarflatRecipe`, `UbercalRecipe`, `ImportedColumns`.
To try things out: `example_night`, `example_measurements`.
Errors: `PipelineError`, and of these `BadData`, `MissingProduct`.

Each has a runnable example in its docstring (``help(ztf.fit_psf)``).  They are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztf_in2p3.camera import TINY, ZTF
    from ztf_in2p3.errors import BadData, MissingProduct, PipelineError
    from ztf_in2p3.image import MaskBit
    from ztf_in2p3.notebook.example import example_measurements, example_night
    from ztf_in2p3.notebook.own_tables import fit_starflat, fit_ubercal, read_measurements
    from ztf_in2p3.notebook.photometry import aperture_photometry, detect_stars, fit_psf, psf_photometry
    from ztf_in2p3.notebook.product_store import ProductStore, open_store
    from ztf_in2p3.notebook.sky_image import SkyImage, detrend_raw, make_bias, make_flat, read_image, read_master
    from ztf_in2p3.recipes import ImportedColumns, StarflatRecipe, UbercalRecipe

_PLACES = {
    "camera": ("TINY", "ZTF"),
    "errors": ("BadData", "MissingProduct", "PipelineError"),
    "image": ("MaskBit",),
    "notebook.example": ("example_measurements", "example_night"),
    "notebook.own_tables": ("fit_starflat", "fit_ubercal", "read_measurements"),
    "notebook.photometry": ("aperture_photometry", "detect_stars", "fit_psf", "psf_photometry"),
    "notebook.product_store": ("ProductStore", "open_store"),
    "notebook.sky_image": ("SkyImage", "detrend_raw", "make_bias", "make_flat", "read_image", "read_master"),
    "recipes": ("ImportedColumns", "StarflatRecipe", "UbercalRecipe"),
}
"""Names of the public face, by the module that has them."""

__all__ = [
    "TINY",
    "ZTF",
    "BadData",
    "ImportedColumns",
    "MaskBit",
    "MissingProduct",
    "PipelineError",
    "ProductStore",
    "SkyImage",
    "StarflatRecipe",
    "UbercalRecipe",
    "aperture_photometry",
    "detect_stars",
    "detrend_raw",
    "example_measurements",
    "example_night",
    "fit_psf",
    "fit_starflat",
    "fit_ubercal",
    "make_bias",
    "make_flat",
    "open_store",
    "psf_photometry",
    "read_image",
    "read_master",
    "read_measurements",
]


def __getattr__(name: str) -> object:
    """Import a name of the public face when it is first asked for."""
    for module, names in _PLACES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

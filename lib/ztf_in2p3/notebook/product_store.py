"""Products of a store, looked at: list, find, read, explain, light curves.  Nothing is ever made or changed."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits

from ztf_in2p3.camera import Camera, camera_named
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.detrend.quadrant_file import read_quadrant
from ztf_in2p3.directions import unit_vectors
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.hdus import read_header
from ztf_in2p3.light_curves.formats import Form, formed
from ztf_in2p3.notebook.sky_image import SkyImage
from ztf_in2p3.notebook.star_curves import curve_of, identifier_of, star_at
from ztf_in2p3.products import Built, Kind
from ztf_in2p3.store import Provenance, Store
from ztf_in2p3.store import open_store as open_store_for
from ztf_in2p3.store.parquet import read_table
from ztf_in2p3.tables import CURVE_POINTS, LIGHT_CURVE

_MASTERS = (Kind.BIAS, Kind.FLAT, Kind.LED_FLAT)


@dataclass(frozen=True, slots=True, eq=False)
class ProductStore:
    """A store of products, to be read."""

    store: Store
    camera: Camera

    def list(self, kind: str | None = None, contains: str = "") -> pd.DataFrame:
        """List the products: kind, data_id (what of the survey they are of), recipe, file, bytes.

        Parameters
        ----------
        kind
            Such as bias, flat, apcat, startable, lightcurve; all if not given.
        contains
            Part of the data_id: a night, "c03", a target's name.

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> store = ztf.open_store(ztf.example_night().store, camera="tiny")
        >>> store.list("apcat")[["kind", "data_id"]]
            kind                         data_id
        0  apcat  20190405250000_000601_zr_o/c03
        1  apcat  20190405250600_000601_zr_o/c03
        """
        rows = [
            (str(product.ref.kind), product.ref.data_id, product.ref.recipe, product.ref.file_name, product.size)
            for product in self._products(kind, contains)
        ]
        return pd.DataFrame(rows, columns=["kind", "data_id", "recipe", "file", "bytes"])

    def find(self, kind: str, contains: str = "") -> Built:
        """Find the only product of a kind whose data_id contains a text; MissingProduct if there is none, or several.

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> store = ztf.open_store(ztf.example_night().store, camera="tiny")
        >>> store.find("bias", "c03").ref.label
        'bias c03 20190405_20190405'
        """
        products = self._products(kind, contains)
        if len(products) != 1:
            listed = ", ".join(product.ref.address for product in products[:3]) or "none"
            raise MissingProduct(
                f"{len(products)} products of kind {kind} with {contains!r} in their data_id in {self.uri} ({listed}); "
                "expected one: `list` shows what there is"
            )
        return products[0]

    def read(self, product: Built) -> Any:
        """Read a product: a DataFrame, a master, an image, a FITS header; other files as bytes.

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> store = ztf.open_store(ztf.example_night().store, camera="tiny")
        >>> store.read(store.find("bias"))
        CcdMaster of CCD 3: bias of 3 frames, 256 x 240 pixels a quadrant
        >>> catalogue = store.read(store.find("apcat", "20190405250000"))
        >>> "f_0" in catalogue, len(catalogue) > 100
        (True, True)
        """
        with self.store.open(product) as path:
            if path.suffix == ".parquet":
                return read_table(path).to_pandas()
            if product.ref.kind in _MASTERS:
                return CcdMaster.read(path, self.camera)
            if product.ref.kind is Kind.QUADRANT:
                return SkyImage(*read_quadrant(path), path.name)
            if product.ref.kind is Kind.HEADER:
                return read_header(path)
            return _any_file(path)

    def explain(self, product: Built) -> pd.Series:
        """Say what a product was made of, by which recipe, when and by which version; the inputs are addresses.

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> store = ztf.open_store(ztf.example_night().store, camera="tiny")
        >>> about = store.explain(store.find("bias"))
        >>> len(about["inputs"]), about["recipe"]["version"]
        (3, 1)
        """
        manifest = self.store.manifest(product.ref)
        facts = {
            "product": product.ref.label,
            "address": self.store.uri(product.ref),
            "sha256": manifest.sha256,
            "bytes": manifest.size,
            "made": manifest.started,
            "package": f"{manifest.package} {manifest.git}",
            "recipe": json.loads(manifest.recipe)[1] if manifest.recipe else None,
            "inputs": [used.ref.address for used in manifest.inputs],
            **manifest.about,
        }
        return pd.Series(facts, name=product.ref.file_name)

    def star_light_curve(
        self, ra: float, dec: float, *, within_arcsec: float = 1.5, kind: str = "apcat"
    ) -> pd.DataFrame:
        """Gather the measurements of the star nearest to a place from all catalogues, in order of time.

        Parameters
        ----------
        ra, dec
            Degrees.
        kind
            apcat for apertures, psfcat for the PSF.

        Returns
        -------
        The catalogues' rows: mjd, exposure, filter, flux and errors, and all others; empty if there is no such star.

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> night = ztf.example_night()
        >>> star = night.stars.query("qid == 1 and 60 < x < 180 and 60 < y < 180").nlargest(1, "flux").iloc[0]
        >>> curve = ztf.open_store(night.store, camera="tiny").star_light_curve(star.ra, star.dec)
        >>> len(curve), bool(curve["mjd"].is_monotonic_increasing)
        (2, True)
        """
        place = unit_vectors(np.array(ra), np.array(dec))
        chord = 2 * np.sin(np.deg2rad(within_arcsec / 3600) / 2)
        rows = []
        for product in self._products(kind, ""):
            with self.store.open(product) as path:
                distance = _distances(path, place)
                if len(distance) and distance.min() <= chord:
                    nearest = np.flatnonzero(distance == distance.min())
                    rows.append(read_table(path).take(nearest).to_pandas())
        if not rows:
            return pd.DataFrame()
        return pd.concat(rows, ignore_index=True).sort_values("mjd", kind="stable", ignore_index=True)

    def calibrated_light_curve(
        self,
        star: int | str | None = None,
        *,
        ra: float = np.nan,
        dec: float = np.nan,
        within_arcsec: float = 1.5,
        form: Form = "pandas",
    ) -> Any:
        """Look up the light curve that the flow `light-curves` made of a star, in all bands, in order of time.

        Parameters
        ----------
        star
            Identifier, 123 or "Gaia DR3 123"; if not given, the star nearest to a place.
        ra, dec
            That place, degrees.
        form
            pandas, astropy (a TimeSeries), csv, ecsv (texts), sncosmo (an astropy table), snana (a text).

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> store = ztf.open_store(ztf.example_night().store, camera="tiny")
        >>> try:
        ...     store.calibrated_light_curve("Gaia DR3 123", form="astropy")
        ... except ztf.MissingProduct as error:
        ...     print(error)
        no light curve of star 123 in the store; run the flow light-curves
        """
        number = identifier_of(star) if star is not None else star_at(self.store, ra, dec, within_arcsec)
        frame, about = curve_of(self.store, number)
        return formed(frame, form, CURVE_POINTS, {"name": str(star or number), **about})

    def light_curve(self, target: str, band: str, *, form: Form = "pandas") -> Any:
        """Read the light curve that the flow `scene` made of a target in a band (zg or ztfg, ...).

        `form`: pandas, astropy, csv, ecsv, sncosmo or snana, as for `calibrated_light_curve`.

        Examples
        --------
        >>> import ztf_in2p3 as ztf
        >>> store = ztf.open_store(ztf.example_night().store, camera="tiny")
        >>> try:
        ...     store.light_curve("ZTF18abc", "zr")
        ... except ztf.MissingProduct as error:
        ...     print(str(error)[:24])
        no light curve of ZTF18a
        """
        curves = [built for built in self._products("lightcurve", "") if _is_curve_of(built, target, band)]
        if not curves:
            known = ", ".join(sorted(built.ref.data_id for built in self._products("lightcurve", ""))) or "none"
            raise MissingProduct(
                f"no light curve of {target} in {band} in {self.uri}; there are: {known}; run the flow scene"
            )
        with self.store.open(curves[-1]) as path:
            table = read_table(path)
        noted = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        about = {name: noted[name] for name in ("ra", "dec", "zero_point_error") if name in noted}
        return formed(table.to_pandas(), form, LIGHT_CURVE, {"name": target, **about})

    @property
    def uri(self) -> str:
        """Address of the store."""
        return self.store.files.uri("")

    def _products(self, kind: str | None, contains: str) -> Sequence[Built]:
        kinds = tuple(Kind) if kind is None else (Kind(kind),)
        return [built for listed in kinds for built in self.store.list(listed) if contains in built.ref.data_id]

    def __repr__(self) -> str:
        return f"ProductStore {self.uri} (camera {self.camera.name})"


def open_store(place: str | Path, camera: Camera | str = "ztf") -> ProductStore:
    """Open a store to look at its products; a leading ``~`` is the home folder, ``s3://bucket/prefix`` a bucket.

    Raises
    ------
    MissingProduct
        There is no store.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> ztf.open_store(ztf.example_night().store, camera="tiny")
    ProductStore file:///... (camera tiny)
    """
    store = open_store_for(str(place), _READER)
    if lacking := store.files.absence():
        raise MissingProduct(f"no store at {place}: {lacking}; is the address mistyped?")
    return ProductStore(store, camera_named(camera) if isinstance(camera, str) else camera)


def _is_curve_of(product: Built, target: str, band: str) -> bool:
    code = f"z{band[-1:]}"  # zg, as the archive says, and ztfg, as sncosmo does
    return {target, code} <= set(product.ref.data_id.split("/"))


def _distances(path: Path, place: np.ndarray) -> np.ndarray:
    """(row,): chord to a place (unit vector) of the stars of a catalogue."""
    stars = read_table(path, ["ra", "dec"])
    distance: np.ndarray = np.linalg.norm(
        unit_vectors(stars["ra"].to_numpy(), stars["dec"].to_numpy()) - place, axis=-1
    )
    return distance


def _any_file(path: Path) -> Any:
    if ".fits" not in path.name:
        return path.read_bytes()
    with fits.open(path, memmap=False) as hdus:
        return fits.HDUList([hdu.copy() for hdu in hdus])


def _never() -> datetime:
    return datetime(1858, 11, 17, tzinfo=UTC)


def _no_time() -> float:
    return 0.0


_READER = Provenance(f"ztf-in2p3 {importlib.metadata.version('ztf-in2p3')}", "", "notebook", _never, _no_time, _no_time)
"""Provenance of a reader, who makes nothing."""

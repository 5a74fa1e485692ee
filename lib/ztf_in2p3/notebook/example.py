"""Small simulated data for examples: a night of one CCD of a tiny camera, and tables of star measurements."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ztf_in2p3.camera import TINY
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue, file_metadata, join_quadrants, summary
from ztf_in2p3.catalogue.reference import stars_around
from ztf_in2p3.catalogue.stars import cone
from ztf_in2p3.detrend.ccd_master import CcdMaster
from ztf_in2p3.identifiers import CcdExposure, Filter
from ztf_in2p3.notebook.sky_image import SkyImage, detrend_raw, make_bias, make_flat, read_image
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Built, Value, bias_ref, catalogue_ref, raw_ref
from ztf_in2p3.recipes import BiasRecipe, CatalogueRecipe
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.measurements import dithered_sequence, star_measurements
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.store import Provenance, Store, open_store
from ztf_in2p3.store.parquet import write_table
from ztf_in2p3.tables import REFERENCE

CCDID = 3
PLAN = tiny_night(ccdids=(CCDID,), filters=(Filter.ZR,), n_bias=3, n_led=1, n_flat=2, n_object=2, n_field=1)


@dataclass(frozen=True)
class ExampleNight:
    """Files of a simulated night of one CCD, and what is made of them when it is asked for."""

    folder: Path

    @property
    def raw(self) -> list[Path]:
        """Raw exposures of the sky."""
        return self._files("raw/**/*_o.fits.fz")

    @property
    def raw_bias(self) -> list[Path]:
        """Raw bias frames."""
        return self._files("raw/**/*_b.fits.fz")

    @property
    def raw_flat(self) -> list[Path]:
        """Raw flats of one lamp."""
        return self._files("raw/**/*_f.fits.fz")

    @property
    def science(self) -> Mapping[int, Path]:
        """The archive's science images of the first exposure, by quadrant."""
        return self._science(0, "sciimg")

    @property
    def masks(self) -> Mapping[int, Path]:
        """Masks of the science images, by quadrant."""
        return self._science(0, "mskimg")

    def image(self, qid: int) -> SkyImage:
        """A science image of the first exposure."""
        return read_image(self.science[qid], self.masks[qid])

    @functools.cached_property
    def bias(self) -> CcdMaster:
        """Master bias."""
        return make_bias(self.raw_bias, CCDID, TINY)

    @functools.cached_property
    def flat(self) -> CcdMaster:
        """Master flat."""
        return make_flat(self.raw_flat, self.bias, TINY)

    @functools.cached_property
    def stars(self) -> pd.DataFrame:
        """The true stars on the first exposure: qid, ra, dec, x, y, flux and more."""
        return pq.read_table(self._files("truth/*.parquet")[0]).to_pandas()

    @functools.cached_property
    def store(self) -> Path:
        """A store with the master bias and the aperture catalogues of both exposures."""
        store = open_store(str(self.folder / "store"), SIMULATED)
        raws = {path: _keep(store, path) for path in (*self.raw_bias, *self.raw)}
        recipe = BiasRecipe()
        bias = store.build(
            bias_ref(recipe, Period.of(PLAN.night), CCDID),
            recipe,
            [raws[path] for path in self.raw_bias],
            lambda path: self.bias.write(path),
        )
        for number, raw in enumerate(self.raw):
            self._build_catalogue(store, number, [raws[raw], bias])
        return self.folder / "store"

    def _build_catalogue(self, store: Store, number: int, inputs: list[Built]) -> None:
        recipe, ccd = CatalogueRecipe(), CcdExposure.parse(self.raw[number].name.split(".")[0])

        def make(path: Path) -> Mapping[str, Value]:
            headers = self._science(number, "sciimg")
            images = detrend_raw(self.raw[number], self.bias, self.flat, headers, camera=TINY)
            around = cone([image.wcs for image in images.values()], TINY.shape, beyond_arcsec=60)
            columns = [column.name for column in REFERENCE]
            parts = [pq.ParquetFile(part).read(columns) for part in self._files("reference/**/*.parquet")]
            stars = stars_around(parts, *around)
            tables = [
                aperture_catalogue(image.image, image.header, stars, ccd, qid, TINY, recipe.photometry)
                for qid, image in images.items()
            ]
            table = join_quadrants(tables)
            write_table(path, table, file_metadata(ccd, recipe.photometry, {}))
            return summary(table)

        store.build(catalogue_ref(recipe, ccd), recipe, inputs, make)

    def _files(self, pattern: str) -> list[Path]:
        return sorted(self.folder.glob(pattern))

    def _science(self, number: int, kind: str) -> dict[int, Path]:
        stem = self.raw[number].name.split(".")[0]
        return {qid: self._files(f"sci/**/{stem}_q{qid}_{kind}.fits*")[0] for qid in range(1, 5)}

    def __repr__(self) -> str:
        return f"ExampleNight in {self.folder}: CCD {CCDID}, {len(self.raw)} exposures"


@functools.cache
def example_night() -> ExampleNight:
    """Simulate a night of one CCD of a tiny camera: three bias frames, two flats, two exposures of one field.

    It takes some seconds, once a session, and is removed at the end of it.  Needs the extra `simulate`.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> night = ztf.example_night()
    >>> len(night.raw_bias), len(night.raw_flat), len(night.raw)
    (3, 2, 2)
    """
    folder = Path(tempfile.mkdtemp(prefix="ztf-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    simulate_night(PLAN, folder)
    return ExampleNight(folder)


def example_measurements(n_star: int = 400, n_exposure: int = 20, seed: int = 1) -> pd.DataFrame:
    """Simulated measurements of stars in dithered exposures of the tiny camera, with 1 to 16 mmag of noise.

    Examples
    --------
    >>> import ztf_in2p3 as ztf
    >>> table = ztf.example_measurements()
    >>> list(table.columns)
    ['star_id', 'exposure', 'mjd', 'ccd', 'qid', 'rcid', 'x', 'y', 'airmass', 'colour', 'mag', 'mag_e']
    """
    pointings = dithered_sequence(n_exposure, TINY, seed=seed)
    return star_measurements(TINY, pointings, n_star, seed=seed)[0].to_pandas()


def _keep(store: Store, path: Path) -> Built:
    ref = raw_ref(CcdExposure.parse(path.name.split(".")[0]))
    return store.build(ref, None, [], lambda to: to.hardlink_to(path))


def _simulated_time() -> datetime:
    return datetime(2019, 4, 6, tzinfo=UTC)


def _no_time() -> float:
    return 0.0


SIMULATED = Provenance("ztf-in2p3", "unknown", "simulated", _simulated_time, _no_time, _no_time)
"""Who makes the products of the example: nobody's clock is asked."""

"""Numbers of a tiny fixed night, product by product: `python -m tests.golden` writes them to tests/data/golden.json."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from tests.lib.sensor.test_pocket_calibration import CCD, PERIOD, seen
from ztf_in2p3.archive.reference import ReferenceCatalogue
from ztf_in2p3.camera import TINY
from ztf_in2p3.catalogue.aperture_catalogue import aperture_catalogue
from ztf_in2p3.catalogue.science_image import read_mask
from ztf_in2p3.detrend.focal_plane import FlatLevel, common_level, focal_plane
from ztf_in2p3.detrend.masters import combine_leds, led_flat, master_bias
from ztf_in2p3.detrend.quadrant import detrend_ccd
from ztf_in2p3.hdus import read_header
from ztf_in2p3.identifiers import Filter, ImageType
from ztf_in2p3.recipes import CatalogueRecipe, digest
from ztf_in2p3.sensor.pocket_calibration import measure_pockets
from ztf_in2p3.simulate import files
from ztf_in2p3.simulate.exposures import VERSION, tiny_night
from ztf_in2p3.simulate.survey import simulate_night
from ztf_in2p3.store.parquet import read_table

GOLDEN = Path(__file__).parent / "data" / "golden.json"
RECIPE = CatalogueRecipe()


def golden() -> dict[str, dict[str, object]]:
    """For each product the digest of its recipe and some numbers that any change of method would move."""
    with tempfile.TemporaryDirectory() as folder:
        return numbers_of(Path(folder))


def numbers_of(tree: Path) -> dict[str, dict[str, object]]:
    plan = tiny_night(ccdids=(3,), filters=(Filter.ZR,), n_bias=4, n_led=1, n_flat=3, n_object=1, n_field=1)
    simulate_night(plan, tree)
    frames = {kind: [ccd for ccd in plan.ccd_exposures if ccd.exposure.image_type is kind] for kind in ImageType}
    paths = {kind: [tree / files.raw_path(ccd) for ccd in some] for kind, some in frames.items()}
    of_quadrant, (ccd,) = RECIPE.quadrant, frames[ImageType.OBJECT]

    bias = master_bias(paths[ImageType.BIAS], TINY, 3, of_quadrant.bias)
    led = led_flat(paths[ImageType.FLAT], bias, TINY, 3, of_quadrant.flat.led)
    flat = combine_leds([led], of_quadrant.flat)
    level = common_level(focal_plane([FlatLevel.of(flat)]))
    headers = {1: read_header(tree / files.science_path(ccd, 1))}
    masks = {1: read_mask(tree / files.mask_path(ccd, 1))}
    (raw,) = paths[ImageType.OBJECT]
    image, header = detrend_ccd(raw, bias, flat, level, headers, masks, TINY, of_quadrant)[1]
    known, part = ReferenceCatalogue.open(str(tree / "reference")), tree / "partition.parquet"
    each = [(order, int(pixel)) for order, pixels in known.pixels.items() for pixel in pixels]
    known.fetch(*max(each, key=lambda place: known.fetch(*place, part)["stars"]), part)
    stars = read_table(part)
    catalogue = aperture_catalogue(image, header, stars, ccd, 1, TINY, RECIPE.photometry)

    pockets = measure_pockets(seen(), CCD, PERIOD, of_quadrant.pocket)

    def entry(recipe: object, **values: object) -> dict[str, object]:
        return {"recipe": digest(recipe), "simulator": VERSION} | {k: figures(v) for k, v in values.items()}

    return {
        "bias": entry(of_quadrant.bias, data=bias.data[1], variance=bias.variance[1]),
        "led flat": entry(of_quadrant.flat.led, data=led.data[1], variance=led.variance[1]),
        "flat": entry(of_quadrant.flat, data=flat.data[1], level=[level]),
        "quadrant": entry(of_quadrant, data=image.data, variance=image.variance, mask=image.mask),
        "pocket": entry(
            of_quadrant.pocket, **{name: pockets[name].combine_chunks().values for name in ("charge", "charge_error")}
        ),
        "catalogue": entry(
            RECIPE, **{name: catalogue[name].to_numpy() for name in ("x", "f_3", "f_3_e", "background")}
        ),
    }


def figures(values: object) -> list[float]:
    """Mean, scatter, and a value in the middle."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return [float(known.mean()), float(known.std()), float(known[known.size // 2])]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n")

"""A star table holds the measurements that pass the cuts, each once, star by star."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy import units
from astropy_healpix import HEALPix
from hypothesis import given
from hypothesis import strategies as st

from tests.lib.figures.synthetic import RADII, catalogue, true_stars
from ztf_in2p3.catalogue.star_table import (
    SORTED_BY,
    columns_of,
    may_hold,
    pixel_of,
    pixels_of_order,
    pixels_touched,
    star_table,
)
from ztf_in2p3.errors import BadData
from ztf_in2p3.recipes import CatalogueRecipe, PhotometryRecipe, PsfCatalogueRecipe, StarTableRecipe, recipe_from
from ztf_in2p3.tables import STAR_TABLE, schema_of

ROOT = Path(__file__).parents[3]
RECIPE = StarTableRecipe(CatalogueRecipe(photometry=PhotometryRecipe(radii=RADII)), radius=6.0, observations=2)


def gaia_ids(ra, dec):
    """Identifiers of stars at some places, as Gaia numbers its sources."""
    pixel = HEALPix(2**12, order="nested").lonlat_to_healpix(ra * units.deg, dec * units.deg)
    return (np.asarray(pixel, np.int64) << 35) + (np.arange(len(ra)) + 1) * 128


@pytest.fixture(scope="module")
def exposures():
    """Three exposures of 150 stars around RA 0, and what is wrong with some of them."""
    draw = np.random.default_rng(1)
    n, truth = 150, true_stars(150)
    ra, dec = draw.uniform(-3, 3, n) % 360, draw.uniform(-2, 2, n)
    star_id = gaia_ids(ra, dec)
    tables = []
    for k in range(3):
        columns = {
            "star_id": star_id, "ra": ra, "dec": dec, "g_mag": truth["magnitude"].to_numpy(),
            "colour": draw.normal(1, 0.3, n), "isolated": draw.random(n) < 0.7,
            "flags": draw.choice([0, 0, 0, 2, 256, 4096], n), "f_1_f": draw.choice([0, 0, 0, 0, 16], n),
            "infobits": 0 if k else 33554432, "field": 600 + k,
        }  # fmt: skip
        tables.append(catalogue(truth, exposure=20190405250000 + k, mjd=58578.25 + k / 100, **columns))
    return tables


def tables_of(exposures, recipe):
    """The partitions by pixel."""
    pixels = sorted({int(p) for table in exposures for p in pixel_of(table["star_id"].to_numpy(), recipe.order)})
    return {pixel: star_table([(table, None) for table in exposures], recipe, pixel) for pixel in pixels}


def slowly(exposures, recipe):
    """The same set of measurements, row by row."""
    found = Counter()
    for row in (row for table in exposures for row in table.to_pylist()):
        first, last, south, north = recipe.region
        ra_inside = first <= row["ra"] <= last if first <= last else row["ra"] >= first or row["ra"] <= last
        good = [
            not recipe.fields or row["field"] in recipe.fields,
            not row["infobits"] & recipe.infobits,
            row["isolated"] or not recipe.isolated,
            not row["flags"] & recipe.flags and row["f_1_f"] == 0,
            ra_inside and south <= row["dec"] <= north,
            recipe.bright <= row["g_mag"] <= recipe.faint,
            row["f_1"] > 0 and row["f_1"] >= recipe.signal_to_noise * row["f_1_e"],
        ]
        if all(good):
            found[row["star_id"], row["exposure"]] = -2.5 * np.log10(row["f_1"])
    seen = Counter(star for star, _ in found)
    return {key: mag for key, mag in found.items() if seen[key[0]] >= recipe.observations}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"infobits": 0},
        {"isolated": False, "fields": (601, 602)},
        {"flags": 0x1FFF, "bright": 15.0, "faint": 18.0},
        {"region": (358.5, 1.0, -1.0, 1.5), "signal_to_noise": 60.0, "observations": 1},
    ],
    ids=lambda change: ",".join(change) or "default",
)
def test_the_measurements_that_pass_the_cuts_are_there_and_no_other(exposures, change):
    recipe = replace(RECIPE, **change)
    made = tables_of(exposures, recipe)
    rows = [row for table, _ in made.values() for row in table.to_pylist()]
    expected = slowly(exposures, recipe)
    assert {(row["star_id"], row["exposure"]) for row in rows} == set(expected)
    assert len(rows) == len(expected) > 0
    for row in rows:
        assert row["mag"] == pytest.approx(expected[row["star_id"], row["exposure"]], abs=1e-6)  # fluxes are float32


def test_counts_account_for_every_measurement(exposures):
    for table, counts in tables_of(exposures, RECIPE).values():
        cut = sum(n for name, n in counts.items() if name not in ("found", "kept", "stars"))
        assert counts["found"] - cut == counts["kept"] == table.num_rows
        assert counts["stars"] == len(table["star_id"].unique())
        assert counts["infobits"] == counts["found"] // 3  # of one exposure in three


@pytest.mark.parametrize("change", [{}, {"infobits": 0, "signal_to_noise": 60.0}], ids=["default", "strict"])
def test_photometry_by_the_psf_passes_the_same_cuts(exposures, change):
    """The same measurements under the names of a PSF catalogue; what the apertures say is nonsense."""
    renamed = {"f_1": "f_psf", "f_1_e": "f_psf_e", "f_1_f": "f_psf_f"}
    by_psf = [one.rename_columns([renamed.get(name, name) for name in one.column_names]) for one in exposures]
    recipe = replace(RECIPE, psf=PsfCatalogueRecipe(), radius=0.0, **change)
    expected = slowly(exposures, replace(RECIPE, **change))
    narrow = [one.select(columns_of(recipe)) for one in by_psf]
    rows = [row for table, _ in tables_of(narrow, recipe).values() for row in table.to_pylist()]
    assert len(rows) == len(expected) > 0
    assert {(row["star_id"], row["exposure"]): row["mag"] for row in rows} == pytest.approx(expected, abs=1e-6)


def test_a_star_is_in_one_partition_and_each_is_sorted(exposures):
    made = tables_of(exposures, RECIPE)
    assert len(made) > 3
    for pixel, (table, _) in made.items():
        assert table.schema.equals(schema_of(STAR_TABLE))
        assert set(pixel_of(table["star_id"].to_numpy(), RECIPE.order).tolist()) <= {pixel}
        order = np.lexsort([table[name].to_numpy() for name in reversed(SORTED_BY)])
        np.testing.assert_array_equal(order, np.arange(table.num_rows))
        # Where the partition says it is on the sky, the stars are (identifiers are made of the same places).
        at = HEALPix(2**RECIPE.order, order="nested").lonlat_to_healpix(
            table["ra"].to_numpy() * units.deg, table["dec"].to_numpy() * units.deg
        )
        assert set(at.tolist()) <= {pixel}


def test_the_order_of_the_catalogues_does_not_matter(exposures):
    for pixel, (table, counts) in tables_of(exposures, RECIPE).items():
        again, same = star_table([(one, None) for one in reversed(exposures)], RECIPE, pixel)
        assert (again, same) == (table, counts)


def test_errors_are_those_of_the_flux(exposures):
    table = pa.concat_tables(table for table, _ in tables_of(exposures, RECIPE).values())
    flux = 10 ** (-0.4 * table["mag"].to_numpy())
    expected = 2.5 / np.log(10) * np.sqrt(flux / 6.0 + 75.0**2) / flux  # as the synthetic catalogue draws them
    # The noise itself makes the flux, from which the error is expected here, uncertain by a tenth at 5 sigma.
    np.testing.assert_allclose(table["mag_e"].to_numpy(), expected, rtol=0.25)
    np.testing.assert_allclose(np.median(table["mag_e"].to_numpy() / expected), 1, rtol=0.01)


def test_magnitudes_are_corrected_and_what_cannot_be_is_left_out(exposures):
    def correct(table):
        x = table["x"].to_numpy()
        return np.where(x < 100, np.nan, x / 1000)

    recipe = replace(RECIPE, observations=1)
    for pixel, (plain, _) in tables_of(exposures, recipe).items():
        table, counts = star_table([(one, correct) for one in exposures], recipe, pixel)
        kept = plain.to_pandas().query("x >= 100").reset_index(drop=True)
        assert table["star_id"].to_pylist() == kept.star_id.tolist()
        np.testing.assert_allclose(table["mag"].to_numpy(), kept.mag - kept.x / 1000, atol=1e-6)
        assert counts["no starflat"] >= plain.num_rows - table.num_rows


def test_a_catalogue_given_twice_is_an_error_that_names_a_star(exposures):
    pixel = int(pixel_of(exposures[1]["star_id"][0].as_py(), RECIPE.order))
    with pytest.raises(BadData, match=r"star \d+ was measured twice in exposure 20190405250001"):
        star_table([(exposures[1], None)] * 2, replace(RECIPE, isolated=False, flags=0, faint=25.0), pixel)


def test_nothing_makes_an_empty_table(exposures):
    table, counts = star_table([(exposures[1].slice(0, 0), None)], RECIPE, 0)
    assert (table.num_rows, counts["kept"], counts["stars"]) == (0, 0, 0)


def test_only_what_is_needed_is_read(exposures):
    for pixel, (table, _) in tables_of(exposures, RECIPE).items():
        narrow = [(one.select(columns_of(RECIPE)), None) for one in exposures]
        assert star_table(narrow, RECIPE, pixel)[0] == table


@given(st.floats(0, 360, exclude_max=True), st.floats(-89.9, 89.9), st.integers(0, 6))
def test_the_pixels_noted_in_a_manifest_are_those_of_the_stars(ra, dec, order):
    star_id = gaia_ids(np.array([ra]), np.array([dec]))
    expected = int(HEALPix(2**order, order="nested").lonlat_to_healpix(ra * units.deg, dec * units.deg))
    assert pixels_of_order(pixels_touched(star_id), order) == {expected}


@given(
    st.floats(0, 359.9), st.floats(1, 360), st.floats(-89, 88), st.floats(1, 100), st.integers(0, 6),
    st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_no_pixel_with_a_place_of_the_region_is_passed_over(ra, width, dec, height, order, along, up):
    region = (ra, (ra + width) % 360 if width < 360 else ra + 360, dec, min(dec + height, 90.0))
    inside = (ra + along * min(width, 360)) % 360, dec + up * (region[3] - dec)
    pixel = int(HEALPix(2**order, order="nested").lonlat_to_healpix(inside[0] * units.deg, inside[1] * units.deg))
    assert may_hold(region, order, pixel)


def test_pixels_far_from_the_region_are_passed_over():
    region = (345.0, 65.0, -5.0, 35.0)
    held = sum(may_hold(region, 4, pixel) for pixel in range(12 * 4**4))
    area = 80 * np.rad2deg(np.sin(np.deg2rad(35)) - np.sin(np.deg2rad(-5)))
    of_pixel = 41253 / (12 * 4**4)
    # With a rim of two pixels' size around it, no more.
    assert area / of_pixel < held < (np.sqrt(area / of_pixel) + 4) ** 2


def test_the_toy_sample_is_the_one_of_the_survey():
    recipe = recipe_from(StarTableRecipe, tomllib.loads((ROOT / "deployments/recipes/toy.toml").read_text()))
    assert recipe.region == (345.0, 65.0, -5.0, 35.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": 5.0}, "radius 5.0"),
        ({"region": (0.0, 10.0, 20.0)}, "first and last RA"),
        ({"region": (0.0, 10.0, 20.0, 10.0)}, "region"),
        ({"order": 7}, "order 7"),
    ],
)
def test_impossible_recipes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **change)

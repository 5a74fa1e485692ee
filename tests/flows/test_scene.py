"""From raw frames to the light curve of a simulated supernova, and what happens when there can be none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.time import Time

from flows.calibrate import calibrate
from flows.download import download
from flows.psf import psf
from flows.scene import scene
from flows.ubercal import ubercal
from tasks.runtime.outcome import Outcome
from tasks.runtime.product_flow import TooMuchSetAside
from tests.flows.followed import HOW, N_ACTIVE, N_QUIET, RECIPE, Followed, curve_of, fluxes, table_of
from tests.flows.night import Watched, artifacts, kinds, task_runs
from ztf_in2p3.astrometry import read_wcs, sky_to_pixels
from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import MissingProduct
from ztf_in2p3.hdus import read_header
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.image import MaskBit
from ztf_in2p3.products import Kind
from ztf_in2p3.recipes import StarTableRecipe, SurveyRecipe
from ztf_in2p3.scene.catalogue import psf_of, stamp_of_table
from ztf_in2p3.scene.curve import Measured, SurveyStars, assemble
from ztf_in2p3.scene.target import read_targets
from ztf_in2p3.simulate.exposures import tiny_night
from ztf_in2p3.simulate.follow import follow
from ztf_in2p3.simulate.survey import simulate_survey
from ztf_in2p3.starflat.correction import StarflatMap


@pytest.fixture(scope="module")
def followed(orchestrator: None, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """Raw frames and masters in a store."""
    folder = tmp_path_factory.mktemp("followed")
    calibration = tiny_night(ccdids=(6,), filters=(Filter.ZR,), n_bias=4, n_led=1, n_flat=3, n_object=0)
    calibration, plans, one = follow(
        calibration, date(2019, 3, 20), n_quiet=N_QUIET, n_active=N_ACTIVE, peak=17.5, host=17.0
    )
    simulate_survey([calibration, *plans], folder / "tree")
    nights = f"{plans[0].night:%Y%m%d}_{plans[-1].night:%Y%m%d}"
    store, which = str(folder / "store"), {"ccds": [6], "filters": ["zr"], **HOW}
    download(nights, store, archive=str(folder / "tree"), reference=str(folder / "tree/reference"), **which)
    calibrate(f"{calibration.night:%Y%m%d}", store, **which)
    return Followed(folder / "tree", Path(store), folder, plans, one)


@pytest.fixture(scope="module")
def two(followed: Followed) -> Outcome:
    """Light curves of two targets, without the last exposure."""
    return followed.run(followed.write_two_targets(period=f"[{followed.plans[0].night}, {followed.plans[-2].night}]"))


@pytest.fixture(scope="module")
def measured(followed: Followed, two: Outcome) -> Outcome:
    """The light curve of one, with it."""
    watched = Watched(followed.store)
    outcome = followed.run(followed.write_targets(followed.folder), truth=str(followed.tree))
    # One new exposure costs one PSF, one stamp and one fit with its pictures.
    assert kinds(watched.written()) == {
        "psf": 1, "psfcat": 1, "stamp": 1, "lightcurve": 1, "curvestars": 1, "scene": 1, "figure": 3,
    }  # fmt: skip
    return outcome


@pytest.fixture(scope="module")
def exposures(followed: Followed, measured: Outcome) -> list[Measured]:
    """What the light curve was made of."""
    found = []
    for each in measured.of(Kind.PSF):
        tables = []
        for kind in (Kind.PSF, Kind.PSF_CATALOGUE, Kind.STAMP):
            built = next(one for one in measured.of(kind) if one.ref.data_id.startswith(each.ref.data_id))
            tables.append(table_of(built, followed.store))
        found.append(Measured(each.ref.data_id, stamp_of_table(tables[2]), psf_of(tables[0]), tables[1]))
    return found


def test_the_light_curve_is_that_of_the_supernova(followed, measured):
    table = curve_of(measured, followed.store)
    flux, covariance, some = fluxes(table)
    true = followed.truth(table)[some]
    off = flux - true
    solved = np.linalg.solve(covariance, np.column_stack([off, true]))
    # chi2 of n fluxes: n, with a standard deviation of sqrt(2 n); four of those.
    assert abs(off @ solved[:, 0] - len(off)) < 4 * np.sqrt(2 * len(off))
    # One factor for the whole curve: known to the error that the covariance says, and that of the zero point (mag).
    zero_point = float(table.schema.metadata[b"zero_point_error"]) / 1.0857
    error = np.hypot((true @ solved[:, 1]) ** -0.5, zero_point)
    assert abs(true @ solved[:, 0] / (true @ solved[:, 1])) < 4 * error
    assert error < 0.02  # the test would notice 8 %
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    east = (float(about["ra"]) - followed.one.ra) * np.cos(np.deg2rad(followed.one.dec)) * 3600
    assert abs(east) < 4 * float(about["ra_error_arcsec"]) + 0.02  # the simulated stars' positions are exact; the
    north = (float(about["dec"]) - followed.one.dec) * 3600  # PSF's centre is that of its Moffat, to 0.02 pixels
    assert abs(north) < 4 * float(about["dec_error_arcsec"]) + 0.02


def test_a_night_is_measured_with_its_psfs_whatever_is_on_it(followed, measured, tmp_path):
    """The quadrant of the supernova was: its PSF serves both flows."""
    night = f"{followed.plans[0].night:%Y%m%d}"
    store = shutil.copytree(followed.store, tmp_path / "store")
    watched = Watched(store)
    state = psf(night, str(store), ccds=[6], recipe=RECIPE.stars, return_state=True, **HOW)
    assert kinds(watched.written()) == {"psf": 3, "psfcat": 3, "figure": 2}
    outcome = state.result()
    assert [len(outcome.of(kind)) for kind in (Kind.PSF, Kind.PSF_CATALOGUE)] == [4, 4]
    page = str(artifacts(state)["psf-zr"].data)
    assert "4 quadrant exposures" in page
    assert "thousandths per magnitude" in page


def test_a_quadrant_of_too_few_stars_is_set_aside_by_its_name(followed, tmp_path):
    store = shutil.copytree(followed.store, tmp_path / "store")
    recipe = replace(RECIPE.stars, psf=replace(RECIPE.stars.psf, min_stars=10**4))
    outcome = psf(f"{followed.plans[0].night:%Y%m%d}", str(store), ccds=[6], recipe=recipe, max_set_aside=1, **HOW)
    assert [one.what.rpartition(" ")[2] for one in outcome.set_aside] == [f"c06_q{qid}" for qid in (1, 2, 3, 4)]
    assert all("10000 are needed" in one.reason for one in outcome.set_aside)


def test_a_second_target_has_a_light_curve_of_its_own(followed, two, measured):
    """A star that always shines is part of the sky: what comes to it is nothing."""
    n = N_QUIET + N_ACTIVE - 1
    # The exposures are measured once, whatever is on them.
    assert [len(two.of(kind)) for kind in (Kind.PSF, Kind.PSF_CATALOGUE, Kind.STAMP)] == [n, n, 2 * n]
    flux, covariance, some = fluxes(curve_of(two, followed.store, "star"))
    chi2 = flux @ np.linalg.solve(covariance, flux)
    assert abs(chi2 - len(some)) < 4 * np.sqrt(2 * len(some))
    of_the_other, _, _ = fluxes(curve_of(measured, followed.store))
    assert of_the_other[:-1] @ np.linalg.solve(covariance, of_the_other[:-1]) > 100 * len(some)  # it would be noticed


def test_every_exposure_has_its_row_and_every_column_its_unit(followed, measured):
    table = curve_of(measured, followed.store)
    assert table["mjd"].to_pylist() == sorted(table["mjd"].to_pylist())
    assert table.num_rows == N_QUIET + N_ACTIVE
    _, covariance, some = fluxes(table)
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-9, atol=1e-9 * covariance.max())
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), table["flux_e"].to_numpy()[some])
    assert [bool(flag & 1) for flag in table["flags"].to_pylist()] == [True] * N_QUIET + [False] * N_ACTIVE
    assert all(field.metadata[b"description"] for field in table.schema)
    assert table.schema.field("mjd").metadata[b"unit"] == b"d"


def test_rows_tell_when_through_what_and_how_bright(followed, measured):
    table = curve_of(measured, followed.store).to_pandas()
    planned = [plan.objects[0] for plan in followed.plans]
    np.testing.assert_allclose(table["exptime"], [frame.exptime for frame in planned])
    # The headers' dates are rounded to a tenth of a second.
    np.testing.assert_allclose((table["mjd_mid"] - table["mjd"]) * 86400, table["exptime"] / 2, atol=0.1)
    assert table["airmass"].between(1, 3).all()
    assert (table["infobits"] == 0).all()
    detected = table["flux"] >= 3 * table["flux_e"]
    assert detected.any()
    assert (table["mag"].notna() == detected).all()
    seen = table[detected]
    np.testing.assert_allclose(10 ** (-0.4 * (seen["mag"] - seen["zero_point"])), seen["flux"])
    # To first order; of the second, mag_e^2 / 2 x 0.92 is left.
    np.testing.assert_allclose(seen["mag_e"], seen["flux_e"] / seen["flux"] * 1.0857, rtol=1e-4)
    dark = table[table["flux_e"].notna()]
    np.testing.assert_allclose(10 ** (-0.4 * (dark["limit"] - dark["zero_point"])), 5 * dark["flux_e"])


def test_stars_repeat_as_photons_allow(followed, measured):
    stars = table_of(measured.of(Kind.CURVE_STARS)[0], followed.store)
    chi2, n = stars["chi2"].to_numpy(), stars["n"].to_numpy()
    freedom = (n - 1).sum() - (N_QUIET + N_ACTIVE)  # each star has its mean, each exposure its throughput
    found = (chi2 * (n - 1)).sum() / freedom
    assert abs(found - 1) < 4 * np.sqrt(2 / freedom) + 0.1  # 0.1: 2 mmag of PSF residuals beside 6 of photons
    known = np.isfinite(stars["reference"].to_numpy())
    off = (stars["mag"].to_numpy() - stars["reference"].to_numpy())[known] / stars["mag_e"].to_numpy()[known]
    # Magnitudes are those of the sky to 2.5 of their errors, which do not know of neighbours five magnitudes fainter.
    assert np.median(np.abs(off)) < 0.6745 * 2.5


def test_the_stars_by_the_psf_make_a_star_table_and_zero_points(followed, measured, exposures):
    recipe = SurveyRecipe(stars=StarTableRecipe(psf=RECIPE.stars, observations=1))
    nights = f"{followed.plans[0].night:%Y%m%d}_{followed.plans[-1].night:%Y%m%d}"
    outcome = ubercal(nights, str(followed.store), ccds=[6], filters=["zr"], recipe=recipe, **HOW)
    rows = [row for built in outcome.of(Kind.STAR_TABLE) for row in table_of(built, followed.store).to_pylist()]
    expected = {
        (row["star_id"], row["exposure"]): -2.5 * np.log10(row["f_psf"])
        for one in exposures
        for row in one.stars.to_pylist()
        if row["isolated"] and not row["f_psf_f"] and not row["flags"] & recipe.stars.flags and row["infobits"] == 0
        and recipe.stars.bright <= row["g_mag"] <= recipe.stars.faint and row["f_psf"] >= 5 * row["f_psf_e"]
    }  # fmt: skip
    assert {(row["star_id"], row["exposure"]): row["mag"] for row in rows} == pytest.approx(expected, abs=1e-9)
    assert len(rows) == len(expected)
    for built in measured.of(Kind.PSF_CATALOGUE):
        stars = table_of(built, followed.store)["star_id"].to_pylist()
        assert built.about["pixels"] == " ".join(map(str, sorted({star >> 47 for star in stars})))  # of order 6

    zero_points = table_of(outcome.of(Kind.ZERO_POINTS)[0], followed.store).sort_by("exposure")
    assert zero_points["exposure"].to_pylist() == [one.stars["exposure"][0].as_py() for one in exposures]
    target = read_targets(Path(followed.write_targets(followed.folder)))[0]
    throughput = 2.5 * np.log10(assemble(exposures, target, "zr", RECIPE).series.throughput)
    # The light curve's own throughputs, but for a constant: the same photons, other weights and cuts.
    off = throughput + zero_points["zero_point"].to_numpy()
    assert np.abs(off - off.mean()).max() < 4 * zero_points["sigma"].to_numpy().max()
    assert throughput.std() > 10 * zero_points["sigma"].to_numpy().mean()  # there is something to agree on


def test_a_starflat_undoes_what_the_camera_does_to_its_light(followed, exposures):
    """Stars and stamps dimmed by a known plane over the quadrant: the starflat of that plane gives them back."""
    with_map = []
    response = lambda x, y: 1 - 0.1 * (x - 100) / 240 + 0.05 * y / 256  # noqa: E731
    rows, columns = TINY.shape
    # Superpixels are linear in magnitudes, the plane in flux: 15 of them leave (0.15 / 15)^2 / 8 of it.
    at_y, at_x = ((np.arange(15) + 0.5) * size / 15 - 0.5 for size in (rows, columns))
    plane = -2.5 * np.log10(response(at_x[None, :], at_y[:, None]))
    maps = StarflatMap(TINY, np.tile(plane, (64, 1, 1)), np.zeros((64, 15, 15)), 0.8)
    for one in exposures:
        stars = one.stars
        factor = response(stars["x"].to_numpy(), stars["y"].to_numpy())
        for column in ("f_psf", "f_psf_e"):
            at = stars.column_names.index(column)
            dimmed = pa.array(stars[column].to_numpy() * factor).cast(stars.schema.field(at).type)
            stars = stars.set_column(at, stars.schema.field(at), dimmed)
        with_map.append(replace(one, stars=stars, starflat=maps))
    target = read_targets(Path(followed.write_targets(followed.folder)))[0]

    found, true = (assemble(some, target, "zr", RECIPE).series.throughput for some in (with_map, exposures))

    place = np.array([one.stamp.place for one in with_map])
    np.testing.assert_allclose(found / true, response(*place.T), rtol=2 * 0.01**2 / 8 + 1e-6)


def test_a_second_run_finds_everything(followed, measured):
    again = followed.run(followed.write_targets(followed.folder), truth=str(followed.tree))
    assert (again.n_made, again.n_found) == (0, len(measured.built))


def test_the_pictures_and_the_artifact_are_there(followed, measured):
    assert len(measured.of(Kind.FIGURE)) == 3
    state = scene(str(followed.store), followed.write_targets(followed.folder), recipe=RECIPE, **HOW,
                  truth=str(followed.tree), return_state=True)  # fmt: skip
    left = artifacts(state)
    page = left["light-curve-sn-zr"].data
    assert page.count("data:image/png;base64") == 3
    assert len(page) < 1_000_000
    assert left["scene-progress"].data == 100.0
    first = followed.plans[0].objects[0].exposure
    assert f"measure stamps {first} c06_q1" in task_runs(state, n=N_QUIET + N_ACTIVE)  # and not all that is known of it


def odd_images(folder: Path) -> dict[str, str]:
    """Spoil a folder as people's are; name of each image that is not to be used, and its reason."""
    first, *_, last = sorted(folder.rglob("*_q1_sciimg.fits"))
    for name in ("copy_sciimg.fits", "copy_mskimg.fits", f"again/{last.name}"):
        path = last.parent / name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(last.with_name(last.name.replace("sciimg", "mskimg")) if "msk" in name else last, path)

    def write(name: str, like: Path, **cards: object) -> None:
        with fits.open(like) as hdus:
            for key, value in cards.items():
                if value is None:
                    hdus[0].header.remove(key, ignore_missing=True)
                else:
                    hdus[0].header[key] = value
            path = like.with_name(name)
            content = [hdu.copy() for hdu in hdus]
        fits.HDUList(content).writeto(path, overwrite=True)

    hour = fits.getval(last, "OBSMJD") + 1 / 24
    write("foreign.fits", last, OBSMJD=hour, FILTER="SDSS r", FILTERID=None)
    write("nameless.fits", last, OBSMJD=hour, FILTER=None, FILTERID=None)
    timeless = dict.fromkeys(("OBSMJD", "OBSJD", "SHUTOPEN", "DATE-OBS"))
    write("undated.fits", last, **timeless)
    write("impossible.fits", last, **timeless | {"OBSMJD": 1e7})
    shutil.copyfile(first, first.with_name("original"))
    when = Time(fits.getval(first, "OBSMJD"), format="mjd").isot
    write(first.name, first.with_name("original"), **timeless | {"DATE-OBS": when})  # another card serves as well
    again = f"{last.parent.relative_to(folder)}".replace("/", "_") + f"_again_{last.stem}"
    return {"copy": "the same exposure as", again: "the same exposure as", "foreign": "FILTER is 'SDSS r'",
            "nameless": "has no FILTER", "undated": "no date", "impossible": "no date"}  # fmt: skip


def test_the_archives_own_images_give_the_same(followed, measured, tmp_path):
    """Whatever lies beside them in the folder; that is named, with its reason."""
    ours = curve_of(measured, followed.store)
    folder = shutil.copytree(followed.tree / "sci", tmp_path / "images")
    reasons = odd_images(folder)
    other = followed.run(followed.write_targets(tmp_path), images=str(folder), store=tmp_path / "store",
                         reference=str(followed.tree / "reference"))  # fmt: skip
    theirs = curve_of(other, tmp_path / "store")
    left_out = {name.removeprefix("image_"): reason
                for name, reason in zip(theirs["exposure"].to_pylist(), theirs["reason"].to_pylist(), strict=True)
                if reason} | {Path(aside.what).stem: aside.reason for aside in other.set_aside}  # fmt: skip
    for name, reason in reasons.items():
        assert any(reason in why and name in image for image, why in left_out.items()), (name, left_out)
    assert theirs.num_rows == N_QUIET + N_ACTIVE + 4
    flux, covariance, some = fluxes(theirs)
    # The same photons and read noise.  What differs is the noise of four bias frames and three flats, per pixel 0.12
    # of the sky's noise, constant on the detector: five times that.
    off = (flux - fluxes(ours)[0]) / np.sqrt(np.diag(covariance))
    assert np.abs(off).max() < 0.6
    assert some.size == N_ACTIVE


@pytest.mark.parametrize(
    ("changed", "recipe", "message"),
    [
        ({"shines": "[2019-01-01, 2019-12-31]"}, RECIPE, r"DegenerateScene: .*constant more in all fluxes"),
        ({"shines": "[2018-01-01, 2018-01-02]"}, RECIPE, r"NothingToFit: none of 10 exposures"),
        ({}, replace(RECIPE, max_seeing=1.0), r"NothingToFit: target sn, zr: none of 10 .*seeing of \d\.\d\d pixels"),
        ({"dec": 12.0}, RECIPE, r"NothingToFit: target sn, zr: no exposure has ra .* on its pixels"),
        ({"bands": '["zg"]'}, RECIPE, r"NothingToFit: target sn, zg: no exposure"),
    ],
    ids=["no quiet night", "never shines", "seeing", "elsewhere", "another band"],
)
def test_what_cannot_be_fitted_is_told_with_its_reason(followed, measured, tmp_path, changed, recipe, message):
    with pytest.raises(TooMuchSetAside, match=f"(?s){message}"):
        followed.run(followed.write_targets(tmp_path, **changed), recipe)


def test_a_masked_target_is_told(followed, tmp_path):
    """Images of any folder; here with a hole where the supernova is, in all but the quiet exposures."""
    for plan in [*followed.plans[:2], *followed.plans[N_QUIET : N_QUIET + 2]]:
        (folder,) = (followed.tree / f"sci/{plan.night:%Y/%m%d}").iterdir()
        for path in folder.glob("*_q1_*.fits"):
            shutil.copy(path, tmp_path)
        if plan.night >= followed.plans[N_QUIET].night:
            (mask,) = tmp_path.glob(f"*{plan.night:%Y%m%d}*mskimg.fits")
            x, y = sky_to_pixels(read_wcs(read_header(mask), mask.name), followed.one.ra, followed.one.dec)
            with fits.open(mask, mode="update", output_verify="ignore") as hdus:
                hdus[0].data[round(float(y)) - 3 : round(float(y)) + 4, round(float(x)) - 3 : round(float(x)) + 4] = (
                    MaskBit.GHOST
                )
    few = replace(RECIPE, stars=replace(RECIPE.stars, max_stars=12))
    with pytest.raises(TooMuchSetAside, match=r"NothingToFit: none of 4 exposures .* 2 with less than 70%"):
        followed.run(followed.write_targets(tmp_path), few, images=str(tmp_path), store=tmp_path / "store",
                     reference=str(followed.tree / "reference"))  # fmt: skip


def test_a_star_field_without_reference_stars_is_told(followed, tmp_path):
    (folder,) = (followed.tree / f"sci/{followed.plans[0].night:%Y/%m%d}").iterdir()
    with pytest.raises(TooMuchSetAside, match="no reference stars around it"):
        followed.run(followed.write_targets(tmp_path), images=str(folder), store=tmp_path / "store")


def test_a_name_that_the_file_does_not_have_is_told(followed, tmp_path):
    with pytest.raises(ValueError, match=r"names: other; .* has sn"):
        followed.run(followed.write_targets(tmp_path), names=["other"])


def test_an_exposure_of_another_camera_is_left_out_by_the_size_of_its_pixels(followed, exposures):
    (target,) = read_targets(Path(followed.write_targets(followed.folder)))
    other = replace(exposures[-1], stamp=replace(exposures[-1].stamp, matrix=2 * exposures[-1].stamp.matrix))
    assembled = assemble([*exposures[:-1], other], target, "zr", RECIPE)
    ((left_out, reason),) = assembled.rejected
    assert left_out.name == other.name
    assert "fit cameras apart" in reason
    assert len(assembled.exposures) == len(exposures) - 1


def test_a_survey_of_another_system_moves_the_zero_point_by_its_difference(followed, exposures):
    target = read_targets(Path(followed.write_targets(followed.folder)))[0]
    by_gaia = assemble(exposures, target, "zr", RECIPE)
    some = np.flatnonzero(np.isfinite(by_gaia.stars.reference))[::2]  # half of the stars are in it
    mag = 30 - 2.5 * np.log10(by_gaia.stars.reference[some]) + 0.25
    by_survey = assemble(exposures, target, "zr", RECIPE, SurveyStars(by_gaia.stars.star_id[some], mag))
    # A quarter of a magnitude, but for the scatter of the stars: the error of either median.
    off = 2.5 * np.log10(by_survey.series.throughput / by_gaia.series.throughput) - 0.25
    assert np.abs(off).max() < 5 * np.hypot(by_gaia.zero_point_error, by_survey.zero_point_error)


def test_an_exposure_that_is_left_out_has_a_row_and_a_reason(followed, measured):
    seeing = np.array([plan.objects[0].seeing for plan in followed.plans])
    limit = float(np.sort(seeing)[-3:-1].mean())  # pixels; two exposures are worse
    table = curve_of(followed.run(followed.write_targets(followed.folder), replace(RECIPE, max_seeing=limit)),
                     followed.store)  # fmt: skip
    assert [reason.startswith("seeing of") for reason in table["reason"].to_pylist()] == (seeing > limit).tolist()
    left_out = table.filter(pa.array(seeing > limit))
    assert left_out["flux"].null_count == left_out["covariance"].null_count == 2


@pytest.mark.parametrize("what", ["starflat", "survey"])
def test_a_calibration_that_is_not_there_is_told(followed, measured, what):
    with pytest.raises(MissingProduct, match="of recipe 0123456789 in the store; run the flow"):
        followed.run(followed.write_targets(followed.folder), replace(RECIPE, **{what: "0123456789"}))

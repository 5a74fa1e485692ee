"""A month of catalogues becomes zero points, mean stars and pictures, and the true ones come out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import lsdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

import ztf_in2p3 as ztf
from flows.light_curves import light_curves
from flows.ubercal import ubercal
from tasks.runtime.settings import store_at
from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.solver import Progress
from ztf_in2p3.identifiers import CcdExposure, Exposure, Filter, ImageType
from ztf_in2p3.products import Kind, catalogue_ref
from ztf_in2p3.recipes import StarCurvesRecipe, SurveyRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.store import Store
from ztf_in2p3.store.parquet import write_table

PERIOD = "20190405_20190505"
RECIPE = SurveyRecipe(fit=UbercalRecipe(zero_points="hierarchical", residual_sigma=0.004), sky_order=9)
FAINT = 12.0
"""From the simulated magnitudes to those of a flux in ADU."""
RA0, DEC0 = 0.2, 12.0
"""Of the middle of the fields, so that some stars are west of RA 0; degrees."""


def catalogued(table: pa.Table, sky: np.ndarray, of_star: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of an aperture catalogue that a star table reads."""
    t = {name: table[name].to_numpy() for name in table.column_names}
    name, flux = RECIPE.stars.flux, 10 ** (-0.4 * (t["mag"] - FAINT - 25))
    n = table.num_rows
    return {
        **{name: t[name] for name in ("star_id", "exposure", "rcid", "x", "y", "mjd", "airmass", "colour")},
        "u": np.zeros(n, np.float32), "v": np.zeros(n, np.float32),
        "ra": sky[of_star, 0], "dec": sky[of_star, 1], "g_mag": np.full(n, 16, np.float32),
        "field": np.full(n, 600, np.int32), "isolated": np.ones(n, bool), "flags": np.zeros(n, np.int32),
        "infobits": np.zeros(n, np.int32), name: flux, f"{name}_e": flux * t["mag_e"] * np.log(10) / 2.5,
        f"{name}_f": np.zeros(n, np.int32),
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Month:
    store: Store
    table: pa.Table
    pointings: object
    truth: object
    external: Path
    outcome: object


@pytest.fixture(scope="module")
def month(orchestrator, tmp_path_factory) -> Month:
    """Simulated catalogues in a store, and what the flow made of them."""
    folder = tmp_path_factory.mktemp("month")
    store = store_at(str(folder / "store"))
    pointings = survey(2, 8, TINY, seed=3, mjd=58578.2)
    effects = Effects(quadrant_zero_point=0.003, map=0, colour_map=0, airmass=0)
    table, truth = star_measurements(TINY, pointings, 2500, effects, seed=3)
    star = (table["star_id"].to_numpy() - 4_000_000_000) // 7
    n_star = len(truth.star_mag)
    position = np.random.default_rng(0).uniform(-1, 1, (n_star, 2))
    sky = np.array([RA0, DEC0]) + position * 0.4
    sky[:, 0] %= 360
    # Identifiers of two pixels of the sky, so that there are two partitions.
    star_id = star + ((star % 2) << (35 + 14)) + 7
    table = table.set_column(0, "star_id", pa.array(star_id))
    columns = pa.table(catalogued(table, sky, star))
    for (exposure, ccd), rows in groups(table).items():
        of = CcdExposure(Exposure(f"{exposure:014d}", 600, Filter.ZR, ImageType.OBJECT), ccd)
        store.build(
            catalogue_ref(RECIPE.stars.catalogue, of), RECIPE.stars.catalogue, [],
            lambda spool, rows=rows: write_table(spool, columns.take(pa.array(rows))),
        )  # fmt: skip
    external = folder / "external.parquet"
    noise = np.random.default_rng(1).normal(0, 0.01, n_star)
    names = {"ra": sky[:, 0], "dec": sky[:, 1], "mag": truth.star_mag + noise - 3.0}
    pq.write_table(pa.table(names), external)
    outcome = fitted(store, folder, external)
    return Month(store, table, pointings, truth, external, outcome)


def groups(table: pa.Table) -> dict[tuple[int, int], np.ndarray]:
    code = table["exposure"].to_numpy() * 100 + table["ccd"].to_numpy()
    order = np.argsort(code, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    return {divmod(int(code[rows[0]]), 100): rows for rows in parts}


def fitted(store: Store, folder: Path, external: Path | None, workers: int | None = 0):
    return ubercal(
        PERIOD, str(folder / "store"), camera="tiny", filters=["zr"], recipe=RECIPE, workers=workers,
        hats=str(folder / "hats"),
        external=str(external) if external else None,
    )  # fmt: skip


def product(month: Month, kind: Kind) -> pa.Table:
    (one,) = month.outcome.of(kind)
    with month.store.open(one) as path:
        return pq.read_table(path)


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(zero_copy_only=False))


def test_true_zero_points_come_out_within_their_errors(month):
    table = product(month, Kind.ZERO_POINTS)
    assert month.outcome.set_aside == ()
    exposure, rcid = column(table, "exposure"), column(table, "rcid")
    order = np.argsort(month.pointings.exposure)
    at = order[np.searchsorted(month.pointings.exposure[order], exposure)]
    true = month.truth.zero_point[at] + month.truth.quadrant_zero_point[at, rcid]
    main = column(table, "component") == 0
    off, sigma = (column(table, "zero_point") - true)[main], column(table, "sigma")[main]
    # Errors are correlated over the sky, and a few outliers hide below the clip: within a third of what is told.
    assert np.std(off) == pytest.approx(np.sqrt(np.mean(sigma**2)), rel=0.33)
    assert column(table, "reference")[main].sum() == 1
    assert table.schema.metadata[b"gauge"].startswith(b"mean zero_point")
    assert table.schema.field("sigma").metadata[b"unit"] == b"mag"


def test_mean_stars_are_those_of_the_sky(month):
    stars = product(month, Kind.MEAN_STARS)
    star = column(stars, "star_id") - 7 & (1 << 32) - 1
    assert np.all(np.diff(column(stars, "star_id")) > 0)
    good = (column(stars, "component") == 0) & (column(stars, "count") >= 3) & ~column(stars, "variable")
    good &= ~month.truth.variable[star]
    off = (column(stars, "mag") - month.truth.star_mag[star])[good]
    # Their own errors and a few mmag of the zero points'; the level is nobody's to know.
    pull = (off - np.median(off)) / np.hypot(column(stars, "sigma")[good], 0.003)
    assert 0.7 < 1.4826 * np.median(np.abs(pull)) < 1.3
    ra = column(stars, "ra")
    assert ((ra < 10) | (ra > 350)).all()
    assert (ra > 350).any()
    # Found in the external catalogue by place, each by its own.
    level = column(stars, "external") - month.truth.star_mag[star]
    assert np.isfinite(level).all()
    assert np.abs(level + 3.0).max() < 6 * 0.01


def test_mean_stars_are_laid_out_for_others(month):
    laid = [pq.ParquetFile(path).read() for path in (month.external.parent / "hats/zr/dataset").rglob("*.parquet")]
    stars = product(month, Kind.MEAN_STARS)
    assert pa.concat_tables(laid).drop_columns(["_healpix_29"]).sort_by("star_id").equals(stars)


def test_what_is_left_over_is_noise(month):
    plane = product(month, Kind.RESIDUAL_MAP)
    pull = column(plane, "residual") / column(plane, "residual_e")
    seen = column(plane, "count") > 5
    assert column(plane, "count").sum() > 0.8 * month.table.num_rows
    # Zero points and stars took up a part: no more than noise is left, and no whole quadrant stands out.
    assert np.sqrt(np.mean(pull[seen] ** 2)) < 1 + 4 / np.sqrt(2 * seen.sum())
    sky = product(month, Kind.SKY_MAP)
    assert column(sky, "compared").sum() > 0.5 * len(month.truth.star_mag)
    many = column(sky, "compared") >= 20
    assert many.any()
    assert np.abs(column(sky, "external")[many] / column(sky, "external_e")[many]).max() < 5
    repeat = product(month, Kind.REPEATABILITY)
    many = column(repeat, "count") > 100
    ratio = column(repeat, "rms")[many] / column(repeat, "expected")[many]
    # Errors of zero points and 1 % of variable stars add; a scatter is known to 1 / sqrt(2n).
    assert np.all((ratio > 0.8) & (ratio < 1.5))


def test_pictures_are_in_the_store_and_in_the_artifact(month):
    assert {one.ref.data_id.rpartition("-")[2] for one in month.outcome.of(Kind.FIGURE)} == {
        "points", "repeatability", "plane", "sky", "external",
    }  # fmt: skip
    with get_client(sync_client=True) as client:
        of_filter = ArtifactFilter(key=ArtifactFilterKey(any_=["ubercal-zr"]))  # each fit leaves one: the last is ours
        shown = client.read_artifacts(artifact_filter=of_filter, sort=ArtifactSort.CREATED_DESC)[0]
    assert shown.data.count("data:image/png") == 5
    (zero,) = month.outcome.of(Kind.ZERO_POINTS)
    assert f"| zero points | {zero.about['zero_points']} |" in shown.data
    assert zero.about["exposures"] == 16


@pytest.fixture(scope="module")
def curves(month):
    """Light curves of the month's stars: outcome, and folder of the HATS collections."""
    folder = month.external.parent

    def run():
        return light_curves(
            PERIOD, str(folder / "store"), camera="tiny", filters=["zr"], recipe=StarCurvesRecipe(survey=RECIPE),
            workers=0, hats=str(folder / "curves"),
        )  # fmt: skip

    return run(), folder / "curves", run


def test_light_curves_of_all_stars_are_calibrated_partition_by_partition(month, curves):
    outcome, _, run = curves
    parts = outcome.of(Kind.STAR_CURVES)
    assert (len(parts), outcome.set_aside) == (2, ())
    (objects,) = [
        pq.read_table(Path(month.store.uri(built.ref).removeprefix("file://")))
        for built in outcome.of(Kind.CURVE_OBJECTS)
    ]
    stars = product(month, Kind.MEAN_STARS)
    assert column(objects, "star_id").tolist() == column(stars, "star_id").tolist()
    star = column(objects, "star_id") - 7 & (1 << 32) - 1
    good = (column(objects, "component") == 0) & (column(objects, "n") >= 5) & ~column(objects, "variable")
    good &= ~month.truth.variable[star]
    # The external catalogue is 3 mag brighter: its level is taken over, to 10 mmag over the root of a thousand stars.
    off = (column(objects, "mag") - month.truth.star_mag[star])[good]
    assert np.median(off) == pytest.approx(-3, abs=0.003)
    assert np.std(off) < 0.01
    assert run().n_made == 0


def test_light_curves_open_in_lsdb(curves):
    outcome, folder, _ = curves
    catalog = lsdb.open_catalog(str(folder / "zr"))
    found = catalog.cone_search(ra=RA0, dec=DEC0, radius_arcsec=720).compute()
    ra, dec = (found["ra"].to_numpy() - RA0 + 180) % 360 - 180, found["dec"].to_numpy() - DEC0
    assert len(found) > 50
    assert np.all(np.hypot(ra * np.cos(np.deg2rad(DEC0)), dec) < 0.2001)
    assert len(catalog.compute()) == sum(built.about["stars"] for built in outcome.of(Kind.STAR_CURVES))
    one = found.iloc[0]
    assert len(one["lightcurve"]) == one["n"] + one["n_flagged"]
    rms = found["lightcurve.mag"].groupby(level=0).std()
    assert rms.notna().any()


def test_one_star_is_found_by_name_and_by_place(month, curves):
    (objects,) = [
        pq.read_table(Path(month.store.uri(built.ref).removeprefix("file://")))
        for built in curves[0].of(Kind.CURVE_OBJECTS)
    ]
    star = objects.sort_by([("n", "descending")]).slice(0, 1).to_pylist()[0]
    store = ztf.open_store(month.external.parent / "store", camera="tiny")
    by_name = store.calibrated_light_curve(f"Gaia DR3 {star['star_id']}")
    by_place = store.calibrated_light_curve(ra=star["ra"], dec=star["dec"] + 1e-4)
    assert by_name.equals(by_place)
    good = by_name["flags"] & StarCurvesRecipe().unusable == 0
    assert (len(by_name), good.sum()) == (star["n"] + star["n_flagged"], star["n"])
    assert by_name["mag"][good].std() == pytest.approx(star["scatter"])
    series = store.calibrated_light_curve(star["star_id"], form="astropy")
    assert (len(series), series.meta["n_ztfr"]) == (len(by_name), star["n"])
    with pytest.raises(ztf.MissingProduct, match="no star with a light curve"):
        store.calibrated_light_curve(ra=100, dec=-20)


def test_nothing_is_fitted_again_unless_the_external_catalogue_changed(month, tmp_path, monkeypatch):
    folder = month.external.parent
    from tasks import ubercal as task

    calls = []
    real = task.fit_ubercal
    monkeypatch.setattr(task, "fit_ubercal", lambda *a, **k: calls.append(1) or real(*a, **k))
    again = fitted(month.store, folder, month.external)
    assert (calls, again.n_made) == ([], 0)
    changed = pq.read_table(month.external)
    other = tmp_path / "other.parquet"
    pq.write_table(changed.set_column(2, "mag", pc.add(changed["mag"], 1.0)), other)
    again = fitted(month.store, folder, other)
    assert calls == [1]
    (first,), (second,) = month.outcome.of(Kind.ZERO_POINTS), again.of(Kind.ZERO_POINTS)
    assert first.sha256 == second.sha256  # the same bytes: nothing behind it is made again


def test_a_cluster_that_loses_a_worker_in_the_middle_finds_the_same(month, monkeypatch, tmp_path):
    """Another try reads the measurements with the worker that is left, and goes on where the fit was."""
    built = month.store.find(month.outcome.of(Kind.ZERO_POINTS)[0].ref)
    with month.store.open(built) as path:
        before = pq.read_table(path)
    month.store.remove(built.ref)
    rounds: list[int] = []
    lost = 0

    def lose_one(one: Progress) -> None:
        if one.round == 3 and 3 not in rounds:
            cluster.sync(cluster.workers[0].close)
            rounds.append(lost)
        rounds.append(one.round)

    with LocalCluster(n_workers=2, processes=False, threads_per_worker=1, dashboard_address=None) as cluster:
        monkeypatch.setenv("ZTF_CLUSTER", cluster.scheduler_address)
        monkeypatch.setenv("ZTF_SCRATCH", str(tmp_path))
        monkeypatch.setattr("tasks.ubercal.tell", lambda name: lose_one)
        again = fitted(month.store, month.external.parent, month.external, workers=None)
    assert again.set_aside == ()
    assert rounds[rounds.index(lost) :][:3] == [lost, 3, 3]
    with month.store.open(again.of(Kind.ZERO_POINTS)[0]) as path:
        found = pq.read_table(path)
    np.testing.assert_allclose(column(found, "zero_point"), column(before, "zero_point"), atol=1e-5)
    np.testing.assert_array_equal(column(found, "count"), column(before, "count"))

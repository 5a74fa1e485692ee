"""A table of any size, a part at a time, gives the fit that it gives in memory."""

import itertools
import multiprocessing
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lib.fit.conftest import RECIPE
from ztf_in2p3.camera import TINY
from ztf_in2p3.errors import BadData
from ztf_in2p3.fit import sources
from ztf_in2p3.fit.checkpoint import STATE, Checkpoint
from ztf_in2p3.fit.overview import overview
from ztf_in2p3.fit.sources import ParquetSource, TableSource
from ztf_in2p3.fit.table import build_model, on_disk
from ztf_in2p3.recipes import RobustRecipe, StarflatRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, star_measurements, survey
from ztf_in2p3.starflat.model import fit_starflat
from ztf_in2p3.ubercal.model import fit_ubercal

MICRO = 1e-6


def written(table, folder, cuts=(0.3, 0.35, 0.8), row_group=1000):
    """Files that each hold whole stars."""
    star = table["star_id"].to_numpy()
    edges = [0, *(int(np.searchsorted(star, star[int(c * len(star))])) for c in cuts), len(star)]
    paths = [folder / f"part{k}.parquet" for k in range(len(edges) - 1)]
    for path, (begin, end) in zip(paths, itertools.pairwise(edges), strict=True):
        pq.write_table(table.slice(begin, end - begin), path, row_group_size=row_group)
    return paths


def assert_same(fit, reference):
    """Within a hundredth of a millimagnitude; the very same rows rejected and stars set aside."""
    for name, family in reference.parameters.items():
        np.testing.assert_allclose(fit[name].value, family.value, atol=10 * MICRO)
        np.testing.assert_allclose(fit[name].sigma, family.sigma, rtol=1e-3)
    np.testing.assert_array_equal(fit.rejected, reference.rejected)
    np.testing.assert_array_equal(fit.stars.variable, reference.stars.variable)
    np.testing.assert_allclose(fit.stars.mag, reference.stars.mag, atol=10 * MICRO)
    assert fit.intake == reference.intake
    np.testing.assert_allclose([fit.chi2, fit.dof], [reference.chi2, reference.dof], rtol=1e-6)


@pytest.mark.parametrize("rows", [700, 100_000])
def test_a_streamed_starflat_is_the_one_in_memory(sequence, reference, tmp_path, rows):
    source = ParquetSource(written(sequence, tmp_path), rows=rows)
    assert len(list(source.stars(["star_id"]))) > len(source.paths) or rows > sequence.num_rows
    assert_same(fit_starflat(source, TINY, RECIPE, build=on_disk(tmp_path / "spool")).fit, reference)


def test_a_streamed_survey_is_the_one_in_memory(tmp_path):
    effects = Effects(quadrant_zero_point=0.004, map=0, colour_map=0)
    table, _ = star_measurements(TINY, survey(2, 6, TINY, seed=5), 2000, effects, seed=5)
    recipe = UbercalRecipe(zero_points="hierarchical", airmass=True, colour=True, epochs=(58590.0,))

    one = fit_ubercal(table, TINY, recipe)
    other = fit_ubercal(
        ParquetSource(written(table, tmp_path), rows=900), TINY, recipe, build=on_disk(tmp_path / "spool")
    )

    assert_same(other.fit, one.fit)
    np.testing.assert_allclose(other.zero_points.value, one.zero_points.value, atol=10 * MICRO)
    np.testing.assert_allclose(other.zero_points.sigma, one.zero_points.sigma, rtol=1e-3)
    np.testing.assert_array_equal(other.exposures.photometric, one.exposures.photometric)
    np.testing.assert_array_equal(other.repeatability.count, one.repeatability.count)
    np.testing.assert_allclose(other.repeatability.rms, one.repeatability.rms, rtol=1e-3)


def test_files_that_are_not_sorted_or_share_a_star_are_refused(sequence, tmp_path):
    paths = written(sequence, tmp_path)
    last = sequence.slice(sequence.num_rows - 1)
    pq.write_table(pa.concat_tables([sequence.slice(100, 100), sequence.slice(0, 100)]), paths[0])
    with pytest.raises(BadData, match=r"part0\.parquet is not sorted by star_id"):
        fit_starflat(ParquetSource(paths), TINY, RECIPE, build=on_disk(tmp_path / "one"))
    pq.write_table(pa.concat_tables([sequence.slice(0, 100), last]), paths[0])
    with pytest.raises(BadData, match=f"star {last['star_id'][0].as_py()} is in two of"):
        fit_starflat(ParquetSource(paths), TINY, RECIPE, build=on_disk(tmp_path / "other"))


def test_files_in_any_order_with_interlaced_stars_serve(sequence, reference, tmp_path):
    """Stars need not be sorted over the files: every other star in one of two files, the later ones first."""
    odd = sequence["star_id"].to_numpy() // 7 % 2 == 1
    for name, of in (("a", odd), ("b", ~odd)):
        pq.write_table(sequence.filter(pa.array(of)), tmp_path / name)
    fit = fit_starflat(
        ParquetSource([tmp_path / "a", tmp_path / "b"]), TINY, RECIPE, build=on_disk(tmp_path / "spool")
    ).fit
    old = np.concatenate([np.flatnonzero(odd), np.flatnonzero(~odd)])
    np.testing.assert_array_equal(np.sort(old[fit.rejected]), reference.rejected)
    np.testing.assert_allclose(fit.vector, reference.vector, atol=10 * MICRO)


@pytest.mark.parametrize("order", ["star_id", "exposure"])
def test_an_overview_tells_what_occurs(sequence, monkeypatch, order):
    """Whether every part of the table has all exposures, or each has others, the last ones first."""
    table = sequence.sort_by([(order, "descending")])
    exposure, rcid, mjd, colour = (table[name].to_numpy() for name in ("exposure", "rcid", "mjd", "colour"))
    row = np.arange(len(mjd))
    no_exposure, no_quadrant, no_date = row % 5 == 1, row % 7 == 2, row % 3 == 0
    spoilt = {"exposure": pa.array(exposure, mask=no_exposure), "rcid": pa.array(rcid, mask=no_quadrant),
              "mjd": pa.array(np.where(no_date, np.nan, mjd))}  # fmt: skip
    for name, column in spoilt.items():
        table = table.set_column(table.column_names.index(name), name, column)
    monkeypatch.setattr(sources, "ROWS", 500)
    known = overview(TableSource(table), 64)
    np.testing.assert_array_equal(known.exposures, np.unique(exposure))
    np.testing.assert_array_equal(known.mjd, [mjd[exposure == one][0] for one in known.exposures])
    np.testing.assert_array_equal(known.nights, np.unique(np.floor(mjd)))
    seen = {
        (e, q) for e, q in zip(exposure[~no_exposure & ~no_quadrant], rcid[~no_exposure & ~no_quadrant], strict=True)
    }
    assert {(known.exposures[k], q) for k, q in np.argwhere(known.quadrants)} == seen
    np.testing.assert_allclose(known.colour_centre, colour.mean(dtype=float))


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("part", "streamed"), [(0.03, True), (0.3, False), (0.6, True), (0.95, False)])
def test_an_interrupted_fit_goes_on_to_the_very_same_answer(sequence, tmp_path, part, streamed):
    source = ParquetSource(written(sequence, tmp_path), rows=9000) if streamed else sequence
    seen = []
    whole = fit_starflat(sequence, TINY, RECIPE, progress=seen.append).fit
    when = int(part * len(seen)) + 1

    def fitted(name, progress):
        build = on_disk(tmp_path / name) if streamed else build_model
        checkpoint = Checkpoint(tmp_path / "state", "this fit", every=4)
        return fit_starflat(source, TINY, RECIPE, progress=progress, build=build, checkpoint=checkpoint).fit

    told = []

    def until(one):
        told.append(one)
        if len(told) == when:
            raise Killed

    with pytest.raises(Killed):
        fitted("before", until)
    rest = []
    fit = fitted("after", rest.append)

    assert len(rest) <= len(seen) - when + 4  # iterations made again: since the last record
    np.testing.assert_allclose(fit.vector, whole.vector, atol=1e-12 if not streamed else 10 * MICRO)
    np.testing.assert_array_equal(fit.rejected, whole.rejected)
    assert (fit.rounds, fit.iterations) == (whole.rounds, whole.iterations)


def fit_and_die(table, folder, after):
    count = itertools.count(1)

    def progress(one):
        if next(count) == after:
            os._exit(9)  # as a killed process: nothing is tidied up

    fit_starflat(table, TINY, RECIPE, progress=progress, checkpoint=Checkpoint(folder, "this fit", every=4))


def test_a_killed_process_leaves_a_state_to_go_on_from(sequence, reference, tmp_path):
    folder = tmp_path / "state"
    process = multiprocessing.get_context("spawn").Process(target=fit_and_die, args=(sequence, folder, 50))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert (folder / STATE).exists()

    rest = []
    checkpoint = Checkpoint(folder, "this fit", every=4)
    fit = fit_starflat(sequence, TINY, RECIPE, progress=rest.append, checkpoint=checkpoint).fit

    assert rest[0].round > 1 or rest[0].iteration > 40
    assert_same(fit, reference)


def test_the_state_of_another_fit_is_ignored(sequence, reference, tmp_path):
    folder = tmp_path / "state"
    other = StarflatRecipe(superpixels=3, model="color", robust=RobustRecipe(method="iterative", draws=0))
    fit_starflat(sequence, TINY, other, checkpoint=Checkpoint(folder, "another"))
    assert_same(fit_starflat(sequence, TINY, RECIPE, checkpoint=Checkpoint(folder, "this")).fit, reference)


def damage_state(folder):
    (folder / STATE).write_bytes((folder / STATE).read_bytes()[:-200])


def damage_rows(folder):
    next(folder.glob("rows_*/*")).unlink()


def other_rows(folder):
    one = next(folder.glob("rows_*/*"))
    with np.load(one) as file:
        found = dict(file)
    np.savez(one, **(found | {"n_row": found["n_row"] + 1}))


@pytest.mark.parametrize("damage", [damage_state, damage_rows, other_rows])
def test_a_state_that_is_not_whole_is_ignored(sequence, reference, tmp_path, damage):
    folder, told = tmp_path / "state", []

    def stop(one):
        if one.round == 4:
            raise Killed

    with pytest.raises(Killed):
        fit_starflat(sequence, TINY, RECIPE, progress=stop, checkpoint=Checkpoint(folder, "this"))
    damage(folder)
    fit = fit_starflat(sequence, TINY, RECIPE, progress=told.append, checkpoint=Checkpoint(folder, "this")).fit
    assert (told[0].round, told[0].iteration) == (1, 1)
    assert_same(fit, reference)


def test_an_empty_table_is_bad_data(sequence):
    with pytest.raises(BadData, match="empty"):
        fit_starflat(sequence.slice(0, 0), TINY, RECIPE)

"""The pockets of a CCD as a table: what was measured is what is asked for, at the right temperature."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.lib.sensor.test_pocket_fit import profiles_of
from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.identifiers import Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.recipes import PocketRecipe
from ztf_in2p3.sensor.equilibrium import NODES
from ztf_in2p3.sensor.pocket import power_law_of
from ztf_in2p3.sensor.pocket_calibration import CcdPockets, measure_pockets, power_law_reasons, thermometer_of
from ztf_in2p3.sensor.temperature import Temperatures
from ztf_in2p3.simulate.pocket import equilibrium_charge, power_law_pocket

CCD, PERIOD = 5, Period(date(2020, 4, 1), date(2020, 4, 30))
LEVELS = np.array([100.0, 400.0, 1000.0])


def seen(*, ccd=True, head=True):
    """Profiles of the four amplifiers, with the thermometers that work; the head is 5 K colder."""
    parts = []
    for qid in (1, 2, 3, 4):
        found = profiles_of(lambda o, k, qid=qid: equilibrium_charge(o, k, Quadrant(CCD, qid)), qid, n_sky=20, n_flat=4)
        kelvin = found.kelvin - 5
        found = found if ccd else replace(found, kelvin=np.full(len(found), np.nan))
        table = found.table(qid, 58944.4, 168.0)
        parts.append(table.set_column(5, table.field(5), pa.array(kelvin if head else np.full(len(found), np.nan))))
    return pa.concat_tables(parts)


@pytest.fixture(scope="module")
def profiles():
    return seen()


def header(**kelvin):
    return {"CCDTMP05": kelvin.get("ccd", -7.124), "HEADTEMP": kelvin.get("head", 0.0)}


def charges(pockets, header, qid):
    """At the levels, during an exposure with that header."""
    raw = SimpleNamespace(ccdid=CCD, header=header, path="raw")
    return np.interp(LEVELS, NODES, pockets(raw, qid).charge)


def test_a_thermometer_that_reads_nonsense_is_broken():
    found = Temperatures.read({"CCDTMP05": -7.124, "HEADTEMP": 168.2}, 5)
    assert np.isnan(found.ccd)
    assert (found.head, found.of("head"), np.isnan(found.of("none"))) == (168.2, 168.2, True)
    assert np.isnan(Temperatures.read({"CCDTMP05": "173.1 K"}, 5).ccd)
    assert np.isnan(Temperatures.read({}, 5).head)


@pytest.mark.parametrize(
    ("ccd", "head", "expected"), [(True, True, "ccd"), (False, True, "head"), (False, False, "none")]
)
def test_one_thermometer_serves_for_all_exposures(ccd, head, expected):
    table = seen(ccd=ccd, head=head)
    assert thermometer_of(table) == expected
    pockets = CcdPockets.of(measure_pockets(table, CCD, PERIOD, PocketRecipe()))
    assert pockets.thermometer == expected
    for qid in (1, 4):
        # The true one is a hundredth less per kelvin; without a thermometer it is that of the mean temperature,
        # known to 0.3 K from 24 exposures spread evenly over 4 K.
        kelvin = 174.0 if expected != "none" else 173.0
        true = equilibrium_charge(LEVELS, kelvin, Quadrant(CCD, qid))
        found = charges(pockets, header(ccd=174.0 if ccd else -7, head=169.0 if head else 0), qid)
        error = 4 * 0.003 if expected == "none" else 0.0
        error += 4 * pockets.functions[qid].relative_error(LEVELS, kelvin if ccd else 169.0 if head else np.nan)
        assert (np.abs(found / true - 1) < error).all()


def test_what_is_written_is_what_was_fitted(profiles):
    table = measure_pockets(profiles, CCD, PERIOD, PocketRecipe())
    pockets = CcdPockets.of(table)
    for row in table.to_pylist():
        function, level = pockets.functions[row["qid"]], np.array(row["level"])
        np.testing.assert_allclose(function.charge(level, row["reference"]), row["charge"], rtol=1e-12)
        error = row["charge"] * function.relative_error(level, row["reference"])
        np.testing.assert_allclose(error, row["charge_error"], rtol=1e-12)
        assert (row["valid_from"], row["valid_to"]) == (PERIOD.first, PERIOD.last)
        assert row["n_used"] <= row["n_profile"] == 24 * 4


def test_an_exposure_whose_thermometer_failed_gets_the_reference(profiles):
    pockets = CcdPockets.of(measure_pockets(profiles, CCD, PERIOD, PocketRecipe()))
    at_reference = header(ccd=pockets.functions[2].reference)
    np.testing.assert_array_equal(charges(pockets, header(head=168.0), 2), charges(pockets, at_reference, 2))
    assert pockets.cards(header(head=168.0))["POCKTEMP"][0] == "unknown"
    assert pockets.cards(header(ccd=172.5))["POCKTEMP"] == (172.5, "temperature of the CCD [K]")


def test_a_pocket_of_another_ccd_is_missing(profiles):
    pockets = CcdPockets.of(measure_pockets(profiles, CCD, PERIOD, PocketRecipe()))
    with pytest.raises(MissingProduct, match="no pocket of c06_q1 among those measured of CCD 5"):
        pockets(SimpleNamespace(ccdid=6, header={}, path="raw"), 1)


def test_an_amplifier_with_too_few_profiles_is_left_to_the_power_law(profiles):
    without = profiles.filter(pc.not_equal(profiles["qid"], 3))
    table = measure_pockets(without, CCD, PERIOD, PocketRecipe())
    assert power_law_reasons(table) == {3: "0 overscan profiles for 13 parameters of a pocket; take more exposures"}
    pockets = CcdPockets.of(table)
    raw = SimpleNamespace(ccdid=CCD, header=header(ccd=172.0), path="raw")
    assert pockets(raw, 3) == power_law_of(Quadrant(CCD, 3))
    assert pockets.cards(raw.header)["POCKMODL"][0] == "q1:equilibrium q2:equilibrium q3:powerlaw q4:equilibrium"


def test_profiles_that_the_fit_left_out_count(profiles):
    strict = replace(PocketRecipe(), fit=replace(PocketRecipe().fit, least_used=1.01))
    with pytest.raises(BadData, match=r"serves no amplifier: c05_q1: .*describes only .* of 96 profiles"):
        measure_pockets(profiles, CCD, PERIOD, strict)


def test_a_pocket_of_another_kind_is_left_to_its_own_model(profiles):
    """The overscan tells the two published models apart: behind the power law a fit of this one is nonsense."""
    parts = [profiles.filter(pc.not_equal(profiles["qid"], 2))]
    found = profiles_of(lambda o, k: equilibrium_charge(o, k, Quadrant(CCD, 2)), 2, n_sky=20, n_flat=4)
    _, behind = power_law_pocket(Quadrant(CCD, 2)).read(np.repeat(found.level[:, None], 60, axis=1), 30)
    parts.append(replace(found, overscan=behind).table(2, 58944.4, 168.0))
    reasons = power_law_reasons(measure_pockets(pa.concat_tables(parts), CCD, PERIOD, PocketRecipe()))
    assert set(reasons) == {2}
    assert "leaves a chi2 of" in reasons[2] or "describes only" in reasons[2]

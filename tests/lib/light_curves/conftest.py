"""A simulated survey, solved, and the light curves of its stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from ztf_in2p3.camera import TINY
from ztf_in2p3.fit.parameter_table import parameter_table
from ztf_in2p3.light_curves.calibration import SurveyCalibration
from ztf_in2p3.light_curves.curves import star_curves
from ztf_in2p3.recipes import StarCurvesRecipe, SurveyRecipe, UbercalRecipe
from ztf_in2p3.simulate.measurements import Effects, Truth, star_measurements, survey
from ztf_in2p3.ubercal.model import Ubercal, fit_ubercal
from ztf_in2p3.ubercal.tables import zero_point_table

RECIPE = StarCurvesRecipe(survey=SurveyRecipe(fit=UbercalRecipe(residual_sigma=0.003, colour=True, held_out=0.2)))


@dataclass(frozen=True)
class Solved:
    table: pa.Table
    truth: Truth
    ubercal: Ubercal
    calibration: SurveyCalibration
    curves: pa.Table

    def number(self, star_id: np.ndarray) -> np.ndarray:
        """(star,): place in the truth."""
        return (star_id - 4_000_000_000) // 7


@pytest.fixture(scope="session")
def solved() -> Solved:
    effects = Effects(quadrant_zero_point=0.003, map=0, colour_map=0, airmass=0)
    table, truth = star_measurements(TINY, survey(2, 16, TINY, seed=11), 4000, effects, seed=11)
    sky = np.random.default_rng(2).uniform(-1, 1, (len(truth.star_mag), 2))[
        (table["star_id"].to_numpy() - 4_000_000_000) // 7
    ]
    for name, values in (("ra", sky[:, 0] % 360), ("dec", 10 + sky[:, 1]), ("g", np.full(len(sky), 16.0))):
        table = table.append_column(name, pa.array(values))
    found = fit_ubercal(table, TINY, RECIPE.survey.fit)
    calibration = calibration_of(found)
    curves = star_curves(table, found.fit.stars.to_table(), calibration, "zr", RECIPE)
    return Solved(table, truth, found, calibration, curves)


def calibration_of(found: Ubercal, **metadata: str) -> SurveyCalibration:
    parameters = parameter_table(found.fit, {})
    noted = parameters.schema.metadata | {b"colour_centre": repr(found.known.colour_centre).encode()}
    noted |= {name.encode(): text.encode() for name, text in metadata.items()}
    return SurveyCalibration.of_tables(zero_point_table(found), parameters.replace_schema_metadata(noted))

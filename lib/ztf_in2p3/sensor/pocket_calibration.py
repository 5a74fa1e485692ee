"""The pockets of a CCD over a period: measured on its exposures, kept as a table, asked for by exposure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ztf_in2p3.errors import BadData, MissingProduct
from ztf_in2p3.frames import RawCcd
from ztf_in2p3.identifiers import N_QUADRANT, Quadrant
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Value
from ztf_in2p3.recipes import PocketRecipe
from ztf_in2p3.sensor.equilibrium import Equilibrium
from ztf_in2p3.sensor.pocket_fit import PocketFit, fit_equilibrium
from ztf_in2p3.sensor.pocket_function import PocketFunction
from ztf_in2p3.sensor.pocket_profiles import Profiles
from ztf_in2p3.sensor.temperature import Temperatures
from ztf_in2p3.tables import POCKET, schema_of

LEVELS = np.geomspace(1, 40_000, 47)
"""ADU, at which the function is written out for who wants to read the table."""
_COLUMN = {"ccd": "kelvin", "head": "head_kelvin", "none": "kelvin"}
"""Column of `ztf_in2p3.tables.POCKET_PROFILES` by thermometer."""


def measure_pockets(profiles: pa.Table, ccdid: int, period: Period, recipe: PocketRecipe) -> pa.Table:
    """Fit the function of each amplifier of a CCD; columns `ztf_in2p3.tables.POCKET`.

    Parameters
    ----------
    profiles
        Columns `ztf_in2p3.tables.POCKET_PROFILES`, of many exposures: of the sky at all its levels, and flats.

    Raises
    ------
    BadData
        Too few profiles of an amplifier, or the model does not describe them.
    """
    thermometer = thermometer_of(profiles)
    rows = []
    for qid in range(1, N_QUADRANT + 1):
        try:
            fit = fit_equilibrium(profiles_of(profiles, qid, thermometer), spans=recipe.fit.spans)
            if not fit.chi2 <= recipe.fit.most_chi2:
                raise BadData(
                    f"the equilibrium model leaves a chi2 of {fit.chi2:.1f} per degree of freedom, more than "
                    f"{recipe.fit.most_chi2:g}; reject spoilt exposures, or take the power law for this CCD"
                )
        except BadData as error:
            raise BadData(f"{Quadrant(ccdid, qid)}, {period}: {error}") from error
        rows.append(
            {"ccd": ccdid, "qid": qid, "valid_from": period.first, "valid_to": period.last, "thermometer": thermometer}
            | _row(fit)
        )
    return pa.Table.from_pylist(rows, schema=schema_of(POCKET))


def thermometer_of(profiles: pa.Table) -> str:
    """Which one works during most exposures: the CCD's own ("ccd"), else that of the cold head, else "none".

    They differ by kelvins, so one must serve for all exposures of a period.
    """
    for thermometer in ("ccd", "head"):
        if np.isfinite(profiles[_COLUMN[thermometer]].to_numpy()).mean() > 0.5:
            return thermometer
    return "none"


def profiles_of(profiles: pa.Table, qid: int, thermometer: str) -> Profiles:
    """Profiles of one amplifier, without those whose temperature the thermometer does not know."""
    selected = Profiles.of(profiles.filter(pc.equal(profiles["qid"], qid)), _COLUMN[thermometer])
    if thermometer == "none":
        selected = replace(selected, kelvin=np.zeros(len(selected)))
    return selected.take(np.isfinite(selected.kelvin))


@dataclass(frozen=True, slots=True, eq=False)
class CcdPockets:
    """Pockets of the amplifiers of a CCD as measured: a `ztf_in2p3.sensor.readout.Pockets`."""

    ccdid: int
    thermometer: str
    functions: Mapping[int, PocketFunction]
    """By qid."""

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """From columns of `ztf_in2p3.tables.POCKET`."""
        rows = table.to_pylist()
        return cls(rows[0]["ccd"], rows[0]["thermometer"], {row["qid"]: _function(row) for row in rows})

    def __call__(self, raw: RawCcd, qid: int) -> Equilibrium:
        """Pocket of a quadrant at the temperature of an exposure.

        Raises
        ------
        MissingProduct
            The quadrant is not in the table.
        """
        if raw.ccdid != self.ccdid or qid not in self.functions:
            raise MissingProduct(
                f"{raw.path}: no pocket of {Quadrant(raw.ccdid, qid)} among those measured of CCD {self.ccdid}, "
                f"quadrants {sorted(self.functions)}; run the flow pocket for it"
            )
        return self.functions[qid].pocket(self.kelvin(raw.header))

    def kelvin(self, header: Mapping[str, Any]) -> float:
        """Temperature of an exposure, kelvin, by the thermometer that measured the pockets; NaN if it failed."""
        return Temperatures.read(header, self.ccdid).of(self.thermometer)

    def cards(self, header: Mapping[str, Any]) -> dict[str, tuple[Value, str]]:
        """For the header of what is corrected; of the raw file's primary header."""
        kelvin = self.kelvin(header)
        if np.isfinite(kelvin):
            whose = {"ccd": "the CCD", "head": "the cold head"}[self.thermometer]
            return {"POCKTEMP": (kelvin, f"temperature of {whose} [K]")}
        return {"POCKTEMP": ("unknown", "no thermometer; the pocket's reference is taken")}


def _row(fit: PocketFit) -> dict[str, Any]:
    charge = fit.charge(LEVELS, fit.reference)
    return {
        "reference": fit.reference,
        "knots": fit.knots,
        "coefficients": fit.coefficients,
        "covariance": fit.covariance.ravel(),
        "chi2": fit.chi2,
        "n_profile": len(fit.used),
        "n_used": int(fit.used.sum()),
        "level": LEVELS,
        "charge": charge,
        "charge_error": charge * fit.relative_error(LEVELS, fit.reference),
    }


def _function(row: Mapping[str, Any]) -> PocketFunction:
    coefficients = np.array(row["coefficients"])
    covariance = np.array(row["covariance"]).reshape(len(coefficients), -1)
    return PocketFunction(np.array(row["knots"]), coefficients, covariance, row["reference"])

"""The pockets of a CCD over a period: measured on its exposures, kept as a table, asked for by exposure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from ztf_in2p3.sensor.pocket import EQUILIBRIUM, POWER_LAW, Pocket, power_law_of
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

    An amplifier with too few profiles, or whose profiles the model does not describe, is left to the published power
    law, with the reason.

    Parameters
    ----------
    profiles
        Columns `ztf_in2p3.tables.POCKET_PROFILES`, of many exposures: of the sky at all its levels, and flats.

    Raises
    ------
    BadData
        The model describes no amplifier.
    """
    thermometer = thermometer_of(profiles)
    rows, reasons = [], {}
    for qid in range(1, N_QUADRANT + 1):
        about = {"ccd": ccdid, "qid": qid, "valid_from": period.first, "valid_to": period.last}
        try:
            fit = fit_equilibrium(profiles_of(profiles, qid, thermometer), spans=recipe.fit.spans)
            _require_fit(fit, recipe)
        except BadData as error:
            reasons[qid] = str(error)
            rows.append(about | {"thermometer": thermometer, "model": POWER_LAW, "reason": str(error)})
        else:
            rows.append(about | {"thermometer": thermometer, "model": EQUILIBRIUM, "reason": ""} | _row(fit))
    if len(reasons) == N_QUADRANT:
        raise BadData(
            f"CCD {ccdid}, {period}: the equilibrium model serves no amplifier: "
            + "; ".join(f"{Quadrant(ccdid, qid)}: {reason}" for qid, reason in reasons.items())
            + "; take the power law for this CCD"
        )
    return pa.Table.from_pylist(rows, schema=schema_of(POCKET))


def power_law_reasons(table: pa.Table) -> dict[int, str]:
    """Why the published power law serves for amplifiers whose pocket could not be measured, by qid."""
    return {row["qid"]: row["reason"] for row in table.to_pylist() if row["model"] == POWER_LAW}


def _require_fit(fit: PocketFit, recipe: PocketRecipe) -> None:
    """BadData if the model does not describe the profiles, or only what is left of them."""
    share = float(fit.used.mean())
    if share < recipe.fit.least_used:
        raise BadData(
            f"the equilibrium model describes only {fit.used.sum()} of {len(fit.used)} profiles ({share:.0%}), less "
            f"than {recipe.fit.least_used:.0%}"
        )
    if not fit.chi2 <= recipe.fit.most_chi2:
        raise BadData(
            f"the equilibrium model leaves a chi2 of {fit.chi2:.1f} per degree of freedom, more than "
            f"{recipe.fit.most_chi2:g}"
        )


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
    """Charge of each pocket, by qid."""
    power_law: Mapping[int, str] = field(default_factory=dict)
    """Why the published power law serves for an amplifier, by qid."""

    @classmethod
    def of(cls, table: pa.Table) -> Self:
        """Take columns of `ztf_in2p3.tables.POCKET`."""
        rows = table.to_pylist()
        functions = {row["qid"]: _function(row) for row in rows if row["model"] == EQUILIBRIUM}
        return cls(rows[0]["ccd"], rows[0]["thermometer"], functions, power_law_reasons(table))

    def __call__(self, raw: RawCcd, qid: int) -> Pocket:
        """Pocket of a quadrant at the temperature of an exposure.

        Raises
        ------
        MissingProduct
            The quadrant is not in the table.
        """
        if raw.ccdid == self.ccdid and qid in self.power_law:
            return power_law_of(Quadrant(raw.ccdid, qid))
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
        """Cards for the header of what is corrected; of the raw file's primary header."""
        kelvin = self.kelvin(header)
        models = " ".join(
            f"q{qid}:{POWER_LAW if qid in self.power_law else EQUILIBRIUM}"
            for qid in sorted({*self.functions, *self.power_law})
        )
        cards: dict[str, tuple[Value, str]] = {"POCKMODL": (models, "")}
        if np.isfinite(kelvin):
            whose = {"ccd": "the CCD", "head": "the cold head"}[self.thermometer]
            return cards | {"POCKTEMP": (kelvin, f"temperature of {whose} [K]")}
        return cards | {"POCKTEMP": ("unknown", "no thermometer; the pocket's reference is taken")}


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

"""Parameters of any fit as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztf_in2p3.fit.results import Fit
from ztf_in2p3.tables import PARAMETERS, schema_of


def parameter_table(fit: Fit, summary: Mapping[str, str | int | float | bool]) -> pa.Table:
    """Every parameter of every family, columns of `ztf_in2p3.tables.PARAMETERS`.

    The table's metadata tell the gauge of each family, the degeneracies and what was done about them, what small
    families are correlated with, what became of the measurements, and how well the model fits (`summary`).
    """
    rows: dict[str, list[NDArray]] = {column.name: [] for column in PARAMETERS}
    for name, family in fit.parameters.items():
        labels = np.asarray(family.labels)
        first, second = (labels[:, 0], labels[:, 1]) if labels.ndim == 2 else (labels, np.full(len(labels), -1))
        values = {
            "family": np.full(len(labels), name, object),
            "label": np.asarray(first, float),
            "rcid": np.asarray(second, np.int16),
            "value": family.value,
            "sigma": family.sigma,
            "count": family.count,
            "component": family.component,
            "flag": family.flag,
            "unit": np.full(len(labels), family.unit, object),
        }
        for key, column in values.items():
            rows[key].append(column)
    table = pa.table({name: pa.array(np.concatenate(parts)) for name, parts in rows.items()})
    metadata = {
        "gauge": {name: family.gauge for name, family in fit.parameters.items()},
        "degeneracies": [
            {
                "name": d.name,
                "family": d.family,
                "count": d.count,
                "exact": d.exact,
                "treatment": d.treatment,
                "sigma": None if np.isnan(d.sigma) else d.sigma,
            }
            for d in fit.degeneracies
        ],
        "correlations": {name: [list(pair) for pair in pairs] for name, pairs in fit.correlations.items()},
        "errors": {
            "polynomial": fit.errors.polynomial.tolist(),
            "middle": fit.errors.middle,
            "half": fit.errors.half,
            "exposure": {str(k): v for k, v in enumerate(fit.errors.exposure.tolist()) if v},
        },
        "left_out": dict(fit.intake.dropped) if fit.intake else {},
        "fit": dict(summary),
    }
    return table.cast(schema_of(PARAMETERS)).replace_schema_metadata(
        {key: json.dumps(value) for key, value in metadata.items()}
    )

"""A column of a table: name, type, unit, meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: name, type, unit, meaning."""

    name: str
    type: pa.DataType
    unit: str
    """Empty for a pure number or a name."""
    doc: str

    @property
    def field(self) -> pa.Field:
        """Arrow's field, with unit and meaning in its metadata."""
        return pa.field(self.name, self.type, nullable=True, metadata={"unit": self.unit, "description": self.doc})


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """Arrow's schema of some columns."""
    return pa.schema([column.field for column in columns])


def numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of numbers as (row,); what is unknown is NaN."""
    return np.asarray(table[name].to_numpy(), np.float64)

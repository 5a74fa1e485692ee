"""What programs of others look for in a Parquet file: units and meanings as astropy and as VOParquet write them.

Arrow's fields carry both already, but only programs that know Arrow's metadata see them.  astropy's own format has
them as YAML under ``table_meta_yaml``; VOParquet (IVOA Note "Parquet in the VO") as a VOTable without data.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy import units
from astropy.table import Column, Table, meta

_YAML, _LENGTH = b"table_meta_yaml", b"table::len::"
_CONTENT, _VERSION = b"IVOA.VOTable-Parquet.content", b"IVOA.VOTable-Parquet.version"
_VOTABLE = {
    "bool": "boolean", "int8": "short", "uint8": "unsignedByte", "int16": "short", "uint16": "int", "int32": "int",
    "uint32": "long", "int64": "long", "uint64": "long", "float": "float", "double": "double", "string": "unicodeChar",
}  # fmt: skip
"""Types of VOTable that hold those of Arrow."""


Entries = tuple[dict[bytes, bytes], dict[bytes, bytes]]
"""Metadata that belong into Arrow's schema, where astropy looks; and those for the footer of the file alone, which the
schema would only repeat."""


def described(table: pa.Table) -> Entries:
    """Metadata of a file for the columns of a table; longest text of each column of texts included."""
    texts = [field.name for field in table.schema if pa.types.is_string(_values(field.type))]
    return described_schema(table.schema, {name: _longest(table[name]) for name in texts})


def described_schema(schema: pa.Schema, lengths: Mapping[str, int] | None = None) -> Entries:
    """The same, of columns whose values are not known yet; `lengths`: of the longest text of each column."""
    known = lengths or {}
    noted = {_LENGTH + name.encode(): str(length).encode() for name, length in known.items()}
    of_arrow, of_footer = _entries(schema.remove_metadata().serialize().to_pybytes(), tuple(known.items()))
    return of_arrow | noted, dict(of_footer)


def without_description(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    """Metadata as they were given by who wrote the file; None if nothing is left."""
    known = (_YAML, _CONTENT, _VERSION)
    kept = {k: v for k, v in (metadata or {}).items() if k not in known and not k.startswith(_LENGTH)}
    return kept or None


@lru_cache(maxsize=64)
def _entries(serialized: bytes, lengths: tuple[tuple[str, int], ...]) -> Entries:
    """Written once for each schema: a night has thousands of tables of one."""
    schema = pa.ipc.read_schema(pa.py_buffer(serialized))
    if any(pa.types.is_nested(field.type) and not pa.types.is_list(field.type) for field in schema):
        return {}, {}  # neither has tables within tables
    yaml = "\n".join(meta.get_yaml_from_table(Table([_column(field) for field in schema])))
    return {_YAML: yaml.encode()}, {_VERSION: b"1.0", _CONTENT: _votable(schema, dict(lengths)).encode()}


def _column(field: pa.Field) -> Column:
    """Column without values."""
    unit, doc = _about(field)
    kind = object if pa.types.is_list(field.type) else "U1" if pa.types.is_string(_values(field.type)) else None
    dtype = np.dtype(kind if kind is not None else field.type.to_pandas_dtype())
    return Column(np.zeros(0, dtype), name=field.name, unit=unit or None, description=doc or None)


def _votable(schema: pa.Schema, lengths: Mapping[str, int]) -> str:
    """VOTable 1.4 whose only table has fields and no data."""
    fields = []
    for field in schema:
        unit, doc = _about(field)
        is_list = pa.types.is_list(field.type)
        kind = _VOTABLE.get(str(_values(field.type)), "unicodeChar")
        # A fixed size: astropy takes texts of any size for objects, which it does not join with those of Parquet.
        length = "*" if is_list else lengths.get(field.name, "*")
        size = f' arraysize="{length}"' if is_list or kind == "unicodeChar" else ""
        of_unit = f" unit={quoteattr(_vounit(unit))}" if unit else ""
        description = f"<DESCRIPTION>{escape(doc)}</DESCRIPTION>"
        fields.append(f'<FIELD name={quoteattr(field.name)} datatype="{kind}"{size}{of_unit}>{description}</FIELD>')
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results"><TABLE>\n'
        + "\n".join(fields)
        + "\n</TABLE></RESOURCE></VOTABLE>\n"
    )


def _values(kind: pa.DataType) -> pa.DataType:
    """Type of the numbers or texts of a column, also where each row has a list of them."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return kind.value_type if pa.types.is_list(kind) else kind


def _about(field: pa.Field) -> tuple[str, str]:
    metadata = field.metadata or {}
    return metadata.get(b"unit", b"").decode(), metadata.get(b"description", b"").decode()


def _vounit(unit: str) -> str:
    """Unit as VOUnits spell it, where they have it."""
    try:
        return str(units.Unit(unit).to_string("vounit"))
    except ValueError:
        return unit


def _longest(column: pa.ChunkedArray) -> int:
    if pa.types.is_list(column.type):
        column = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return int(pc.max(pc.utf8_length(column)).as_py() or 1)

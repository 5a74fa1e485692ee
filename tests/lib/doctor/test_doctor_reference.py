"""The reference catalogue: another place, form, column or unit is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.lib.doctor.altered import Altered, examine, finding, named, skipped

GROUPS = ("science frame", "science headers", "reference stars")
"""What a catalogue is looked at with: the headers say where the stars are."""


def rewrite(folder: Path, change) -> None:
    for path in folder.rglob("Npix=*.parquet"):
        table = change(pq.read_table(path, partitioning=None))
        path.unlink()
        pq.write_table(table, path)


def scaled(name: str, factor: float):
    def change(table: pa.Table) -> pa.Table:
        column = pc.multiply(table[name], pa.scalar(factor, table.schema.field(name).type))
        return table.set_column(table.column_names.index(name), name, column)

    return change


@pytest.mark.parametrize(
    ("change", "check", "word"),
    [
        (lambda table: table.drop_columns(["pmra"]), "catalogue|partition", "pmra"),
        (lambda table: table.rename_columns({"phot_g_mean_mag": "g"}), "catalogue|partition", "phot_g_mean_mag"),
        (scaled("phot_g_mean_mag", 0.1), "magnitudes", "G 1."),
        (scaled("pmra", 1000.0), "proper motions", "mas / yr"),
    ],
)
def test_an_altered_catalogue_is_named(night: Altered, change, check, word):
    rewrite(night.tree / "reference", change)
    exam = examine(night, only=GROUPS)
    wrong = {name for name in named(exam) if name.startswith("reference stars")}
    # A column's absence shows where the file is met first: when the catalogue is opened, or its partition read.
    assert len(wrong) == 1
    (name,) = wrong
    assert name in {f"reference stars: {part}" for part in check.split("|")}
    assert word in finding(exam, name).found
    assert {name.split(":")[0] for name in named(exam)} == {"reference stars"}


def test_a_catalogue_that_is_not_there_is_named(night: Altered):
    exam = examine(night, reference=night.tree / "nowhere")
    assert named(exam) == {"reference stars: catalogue"}
    assert "stars on the image: gain" not in skipped(exam)
    assert "stars on the image: orientation" in skipped(exam)


def test_a_folder_of_tables_that_is_no_hats_catalogue_is_named(night: Altered):
    folder = night.tree / "tables"
    folder.mkdir()
    for number, path in enumerate((night.tree / "reference").rglob("Npix=*.parquet")):
        shutil.copy(path, folder / f"part{number}.parquet")
    exam = examine(night, reference=folder, only=GROUPS)
    assert named(exam) == {"reference stars: catalogue"}
    assert "HATS" in finding(exam, "reference stars: catalogue").expected

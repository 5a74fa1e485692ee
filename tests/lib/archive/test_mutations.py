"""Whatever is wrong with a table or a file of the archive, a night loses what is named, and no other file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.lib.archive.test_faults import NIGHT
from tests.lib.archive.tiny_tree import SKY
from tests.lib.mutations import count, mutated
from ztf_in2p3.archive import ArchiveFile, Irsa, LocalTree, Patience
from ztf_in2p3.errors import BadData
from ztf_in2p3.identifiers import CcdExposure, ImageType
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import IrsaLookalike, Quirks
from ztf_in2p3.simulate.server.quirks import plain

COUNT = count(0.1)
"""Tables and files mutated by each test."""
ODD_CELLS = ("", "NaN", "null", "OO", "-1", "17", "655.5", "0x", "1e3", "inf", '"', "zy", "b", "\0", "°", "9" * 40)


@dataclass(frozen=True)
class Spoilt(Quirks):
    """Tables with one line spoilt, alike whenever the same is asked."""

    number: list[int] = field(default_factory=lambda: [0])
    """Of the mutation, to be changed for another one."""

    def answer(self, names: Sequence[str], rows: Sequence[list[str]], question: str) -> str:
        lines = plain(names, rows).splitlines()
        if len(lines) < 4:  # of two rows, one that is odd is half of the table
            return plain(names, rows)
        rng = np.random.default_rng([*self.number, *question.encode()])
        at = int(rng.integers(1, len(lines)))
        cells, column = lines[at].split(","), int(rng.integers(0, len(names)))
        kind = rng.choice(["cell", "byte", "cut", "lost", "more", "quote", "twice"])
        if kind == "cell":
            cells[column] = str(rng.choice(ODD_CELLS))
        elif kind == "byte" and cells[column]:
            place = int(rng.integers(0, len(cells[column])))
            cells[column] = cells[column][:place] + chr(rng.integers(32, 127)) + cells[column][place + 1 :]
        elif kind == "lost":
            del cells[column]
        elif kind == "more":
            cells.insert(column, "7")
        line = ",".join(cells)
        line = {
            "cut": line[: int(rng.integers(1, len(line)))],
            "quote": f'"{line}',
            "twice": f"{line}\n{line}",
        }.get(str(kind), line)
        return "\n".join([*lines[:at], line, *lines[at + 1 :], ""])


def listed(archive: Irsa):
    """Files that the archive lists of the night, and how many rows were set aside."""
    tables = [archive.raws(NIGHT, image_type) for image_type in (ImageType.BIAS, ImageType.FLAT, ImageType.OBJECT)]
    files = {ArchiveFile(Kind.RAW, ccd) for table in tables for ccd in table}
    quadrants = archive.sciences(NIGHT)
    files |= {ArchiveFile(Kind.MASK, ccd, qid) for ccd, qid in quadrants}
    return files, sum(group.count for table in (*tables, quadrants) for group in table.skipped)


def test_a_spoilt_row_costs_its_own_file_and_is_named(tree, tmp_path):
    quick = {"patience": Patience(tries=2, first_wait=0)}
    with IrsaLookalike(tree, quirks=None) as plain_server:
        expected, _ = listed(Irsa(plain_server.url))
    spoilt, wrong, n_lost = Spoilt(), [], 0
    with IrsaLookalike(tree, quirks=spoilt) as server:
        archive = Irsa(server.url, **quick)
        for number in range(COUNT):
            spoilt.number[:] = [number]
            files, n_skipped = listed(archive)
            lost, invented = expected - files, files - expected
            n_lost += len(lost)
            # Each of the answers has one line spoilt: two that are long enough.
            if len(lost) > 2 or len(lost) > n_skipped + len(invented):
                wrong.append(f"{number}: {sorted(map(str, lost))} are lost, {n_skipped} rows were set aside")
            for file in invented:
                with pytest.raises(BadData, match=file.ccd.exposure.filefracday):
                    archive.fetch(file, tmp_path / "spool")
    assert not wrong, "\n".join(wrong)
    assert n_lost > COUNT / 10


@pytest.mark.parametrize("kind", [Kind.RAW, Kind.MASK, Kind.HEADER])
def test_a_spoilt_file_is_refused_or_says_what_it_said(tree, tmp_path, kind):
    own = LocalTree(shutil.copytree(tree, tmp_path / "tree"))
    file = ArchiveFile(kind, CcdExposure.parse(SKY.name), None if kind is Kind.RAW else 1)
    path, spool = own.path_of(file), tmp_path / "spool"
    content, expected = path.read_bytes(), own.fetch(file, spool)
    whole, rng, wrong, n_refused = spool.read_bytes(), np.random.default_rng(8), [], 0
    for number in range(COUNT):
        text, key = mutated(content, rng)
        path.write_bytes(text)
        try:
            about = own.fetch(file, spool)
        except BadData:
            n_refused += 1
            continue
        dated = {"archive_size", "archive_date"}
        differs = {name for name in expected if about[name] not in (expected[name], None, False, 0)} - dated
        differs -= {"ra", "dec", "radius"} if key.startswith(("PV", "CR", "CD", "NAXIS")) or not key else set()
        wrong += [f"{number} {key}: {name} is {about[name]}" for name in differs if key != "" or kind is Kind.RAW]
    assert not wrong, "\n".join(wrong)
    assert whole
    assert COUNT / 20 < n_refused < COUNT

"""In bad weather a download takes longer, and brings the same files."""

from __future__ import annotations

from collections import Counter

from tests.lib.archive.test_faults import NIGHT
from tests.lib.archive.tiny_tree import EMBARGOED, LOST
from ztf_in2p3.archive import ArchiveFile, Irsa, Patience
from ztf_in2p3.errors import TransientError
from ztf_in2p3.identifiers import ImageType
from ztf_in2p3.products import Kind
from ztf_in2p3.simulate.server import IrsaLookalike, Quirks, Weather

SHARE = 0.1
"""Fraction of the requests that are refused, of those that break off, of those that get a lie, and of the odd rows."""
ABSENT = {EMBARGOED.parts[0], LOST.parts[0]}
"""Of whose absence the tables tell."""
ROUNDS = 4
"""Tries of a task, each with the client's own."""


def persistently(ask):
    """The result of a question that is asked again after a passing failure, as a task does it."""
    for _ in range(ROUNDS - 1):
        try:
            return ask()
        except TransientError:
            continue
    return ask()


def everything(archive, spool):
    """Content by file of what the archive lists of the night, science images excepted."""
    files = []
    for image_type in (ImageType.BIAS, ImageType.FLAT, ImageType.OBJECT):
        listing = persistently(lambda kind=image_type: archive.raws(NIGHT, kind))
        files += [ArchiveFile(Kind.RAW, ccd) for ccd in listing if ccd.exposure.filefracday not in ABSENT]
    quadrants = persistently(lambda: archive.sciences(NIGHT))
    files += [
        ArchiveFile(kind, ccd, qid)
        for ccd, qid in quadrants
        if ccd.exposure.filefracday not in ABSENT
        for kind in (Kind.HEADER, Kind.MASK)
    ]
    content = {}
    for file in files:
        persistently(lambda file=file: archive.fetch(file, spool))
        content[file] = spool.read_bytes()
    return content


def test_bad_weather_costs_no_file_and_alters_none(tree, tmp_path):
    quick = {"patience": Patience(first_wait=0)}
    with IrsaLookalike(tree, quirks=None) as server:
        expected = everything(Irsa(server.url, **quick), tmp_path / "spool")
    struck: Counter = Counter()
    for seed in range(2):
        weather = Weather(SHARE, seed)
        with IrsaLookalike(tree, quirks=Quirks(SHARE), weather=weather) as server:
            assert everything(Irsa(server.url, **quick), tmp_path / "spool") == expected
        struck.update(request.fault for request in server.requests if request.fault)
    assert all(set(struck) & set(kind) for kind in weather.kinds)
    assert struck.total() > len(expected) * SHARE

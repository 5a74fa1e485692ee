"""Plans of small releases, compared with a plan that looks at each exposure and each master by itself."""

import tomllib
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli.main import main
from tests.lib.audit.night import FLAT, RECIPE, Night, table
from ztf_in2p3 import recipes
from ztf_in2p3.errors import BadData, Mistyped
from ztf_in2p3.identifiers import Filter
from ztf_in2p3.periods import Period
from ztf_in2p3.products import Kind, catalogue_ref, ccd_of
from ztf_in2p3.release import Release, plan_of
from ztf_in2p3.release.listing import RAW_FILES, Present, listing_of, present_in, read_listing
from ztf_in2p3.release.plan import IMPOSSIBLE, PRESENT, TO_MAKE
from ztf_in2p3.release.summary import costs_in, counted, share_present

ROOT = Path(__file__).parents[3]
NOTHING = Present(np.empty(0, np.int64), {}, frozenset())
WORDS = {"name": "small", "nights": "20190401_20190630", "filters": ["zg", "zr"], "ccds": [3, 4]}


def listed(rows) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table([list(column) for column in columns], schema=RAW_FILES)


def frames(month: int, image_type: str, code: str, n: int, ccds=(3, 4)):
    return [(int(f"2019{month:02d}02{k:06d}"), 0, code, image_type, ccd) for k in range(n) for ccd in ccds]


def sky(night: str, code: str, n: int = 1, ccd: int = 3):
    return [(int(f"{night}{500000 + k:06d}"), 655, code, "o", ccd) for k in range(n)]


def states(plan: pa.Table, kind: Kind) -> dict[tuple, str]:
    rows = [row for row in plan.to_pylist() if row["kind"] == kind]
    return {(row["month"], row["filter"], row["ccdid"], row["filefracday"]): row["state"] for row in rows}


def test_the_chain_of_calibrations_is_followed():
    rows = [
        *frames(4, "b", "bi", 5), *frames(4, "f", "zg", 5), *frames(4, "f", "zr", 1),
        *frames(5, "f", "zg", 5),  # without biases
        *sky("20190405", "zg"), *sky("20190510", "zg"), *sky("20190511", "zg"), *sky("20190405", "zr"),
    ]  # fmt: skip
    plan = plan_of(Release.from_words(WORDS), listed(rows), NOTHING)
    biases = states(plan, Kind.BIAS)
    assert {month for (month, *_), state in biases.items() if state == TO_MAKE} == {201904}
    assert len(biases) == 3 * 2
    flats = states(plan, Kind.FLAT)
    assert {key[:3] for key, state in flats.items() if state == TO_MAKE} == {(201904, "zg", 3), (201904, "zg", 4)}
    reasons = {(row["month"], row["filter"]): row["reason"] for row in plan.to_pylist() if row["kind"] == Kind.FLAT}
    assert reasons[201905, "zg"] == "no bias of its month"
    assert reasons[201904, "zr"] == "flat frames listed: 1, expected at least 2"
    made = {key[3] // 10**6: state for key, state in states(plan, Kind.CATALOGUE).items() if key[1] == "zg"}
    # April ends on the 30th, and 10 days are tolerated by default
    assert made == {20190405: TO_MAKE, 20190510: TO_MAKE, 20190511: IMPOSSIBLE}
    assert set(states(plan, Kind.STAR_INDEX).values()) == {TO_MAKE, IMPOSSIBLE}


def nearest_period(night: date, periods, tolerance: int) -> str:
    """The straightforward choice, exposure by exposure."""
    distances = [(period.distance(night), period) for period in periods]
    return str(min(distances)[1]) if distances and min(distances)[0] <= tolerance else ""


def test_columns_say_the_same_as_one_exposure_after_the_other():
    random = np.random.default_rng(5)
    release = Release.from_words(WORDS)
    first = date(2019, 4, 1)
    masters = {
        (Kind.FLAT, code, ccd): tuple(
            sorted({Period.of(first + timedelta(int(day))) for day in random.integers(0, 90, 3)})
        )
        for code in ("zg", "zr")
        for ccd in (3, 4)
    }
    rows = [
        (int(f"{first + timedelta(int(day)):%Y%m%d}{k:06d}"), 655, code, "o", ccd)
        for k, day in enumerate(random.integers(-3, 95, 400))
        for code, ccd in [(("zg", "zr", "zi")[k % 3], (3, 4, 5)[k // 3 % 3])]
    ]
    have = np.array(sorted(row[0] * 100 + row[4] for row in rows[::4]))
    plan = plan_of(
        release, listed([rows[k] for k in random.permutation(len(rows))]), Present(have, masters, frozenset())
    )
    expected = {}
    for filefracday, _, code, _, ccd in rows:
        night = date.fromisoformat(str(filefracday)[:8])
        if night in release.nights and code in ("zg", "zr") and ccd in (3, 4):
            masters_of = nearest_period(night, masters[Kind.FLAT, code, ccd], 10)
            state = PRESENT if filefracday * 100 + ccd in have else TO_MAKE if masters_of else IMPOSSIBLE
            expected[filefracday, code, ccd] = (state, masters_of)
    catalogues = [row for row in plan.to_pylist() if row["kind"] == Kind.CATALOGUE]
    planned = {(row["filefracday"], row["filter"], row["ccdid"]): (row["state"], row["masters"]) for row in catalogues}
    assert planned == expected
    assert {state for state, _ in expected.values()} == {PRESENT, TO_MAKE, IMPOSSIBLE}
    assert [row["filefracday"] for row in catalogues] == sorted(key[0] for key in expected)


def test_a_store_with_a_night_has_what_it_has(tmp_path, capsys):
    night = Night(tmp_path / "store")
    file = tmp_path / "release.toml"
    file.write_text('name = "night"\nnights = "20190405"\nfilters = ["zg"]\nccds = [3]\n')
    release = Release.read(file)
    assert listing_of(night.store, release.nights).num_rows == 7
    present = present_in(night.store, release)
    plan = plan_of(release, listing_of(night.store, release.nights), present)
    counts = {row["kind"]: (row[PRESENT], row[TO_MAKE], row[IMPOSSIBLE]) for row in counted(plan)}
    assert counts == {
        "bias": (1, 0, 0),
        "flat": (1, 0, 0),
        "apcat": (2, 0, 0),
        "starindex": (0, 1, 0),
        "zeropoints": (0, 1, 0),
    }
    assert share_present(plan) == pytest.approx(4 / 6)
    cost = costs_in(night.store, release)
    assert cost[Kind.CATALOGUE].size == np.mean([night[f"catalogue {n}"].size for n in (21, 22)])
    assert cost[Kind.FLAT].size == night["flat"].size + night["led flat"].size
    night.manifest("catalogue 22").unlink()
    assert main(["release", "plan", str(file), str(night.root), "--output", str(tmp_path / "plan.parquet")]) == 0
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("apcat")]
    assert row[1:4] == ["1", "1", "0"]
    written = pq.read_table(tmp_path / "plan.parquet")
    assert written.num_rows == plan.num_rows
    assert main(["release", "status", str(file), str(night.root)]) == 0
    assert "50.0% of what can be made is present" in capsys.readouterr().out  # 3 of 6


def test_a_changed_recipe_shows_what_it_would_remake(tmp_path, capsys):
    """At the cost of what is there by the recipe before."""
    night = Night(tmp_path / "store")
    file = tmp_path / "release.toml"
    file.write_text('name = "n"\nnights = "20190405"\nfilters = ["zg"]\nccds = [3]\n'
                    "[catalogue.photometry]\ndetection_sigma = 7.0\n")  # fmt: skip
    assert main(["release", "plan", str(file), str(night.root)]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["flat"][1:4] == ["1", "0", "0"]
    assert rows["apcat"][1:4] == ["0", "2", "0"]
    size = sum(night[f"catalogue {n}"].size for n in (21, 22))
    assert float(rows["apcat"][-1]) == pytest.approx(size / 1e9, rel=0.005)  # shown with three digits


def test_what_no_release_refers_to_is_collected(tmp_path, capsys):
    night = Night(tmp_path / "store")
    kept = dict(night.products)
    old = recipes.recipe_from(type(RECIPE), {"photometry": {"detection_sigma": 7.0}})
    night.make("old", catalogue_ref(old, ccd_of(night["sky 21"].ref)), old, [night["sky 21"], night["flat"]], table(5))
    file = tmp_path / "release.toml"
    file.write_text('name = "night"\nnights = "20190405"\n')
    assert main(["gc", str(night.root), str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == night["old"].ref.address
    assert night.store.find(night["old"].ref) is not None
    main(["gc", str(night.root), str(file), "--remove"])
    assert night.store.find(night["old"].ref) is None
    assert all(night.store.find(product.ref) == product for product in kept.values())
    file.write_text('name = "other"\nnights = "20190405"\n[catalogue.quadrant.focal_plane.flat.led]\nclip = 7.0\n'
                    '[catalogue.quadrant.focal_plane.flat.led.bias]\nclip = 7.0\n')  # fmt: skip
    assert main(["gc", str(night.root), str(file), "--remove"]) == 2
    assert all(night.store.find(product.ref) == product for product in kept.values())


def test_the_chain_of_recipes_is_one():
    words = WORDS | {"catalogue": {"photometry": {"detection_sigma": 6.0}}, "stars": {"faint": 17.0}}
    release = Release.from_words(words)
    assert release.catalogue.photometry.detection_sigma == 6.0
    assert release.starflat.stars == release.ubercal.stars == release.stars
    assert release.stars.faint == 17.0
    assert recipes.digest(release.catalogue) in release.digests()
    assert recipes.digest(FLAT) in release.digests()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"night": "20190405"}, "it has night"),
        ({"name": ""}, "lacks its name"),
        ({"nights": "2019"}, "is no period"),
        ({"ccds": [17]}, "17"),
        ({"filters": ["bi"]}, "filters has bi"),
        ({"filters": ["zu"]}, "zu"),
        ({"stars": {"catalogue": {}}}, r"write it as \[catalogue\]"),
        ({"stars": {"faintest": 1.0}}, "has no faintest"),
    ],
)
def test_a_release_that_cannot_be_right_is_refused(wrong, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        Release.from_words(WORDS | wrong)
    (tmp_path / "broken.toml").write_text("name =")
    with pytest.raises(Mistyped, match="is no release"):
        Release.read(tmp_path / "broken.toml")


def test_the_toy_sample_is_a_release():
    toy = Release.read(ROOT / "deployments/releases/toy.toml")
    same = tomllib.loads((ROOT / "deployments/recipes/toy.toml").read_text())
    assert toy.stars == recipes.recipe_from(type(toy.stars), same)
    assert toy.filters == (Filter.ZG, Filter.ZR, Filter.ZI)


def test_a_listing_that_is_none_is_refused(tmp_path):
    pq.write_table(pa.table({"filefracday": [1]}), tmp_path / "listing.parquet")
    with pytest.raises(BadData, match="no column"):
        read_listing(tmp_path / "listing.parquet")

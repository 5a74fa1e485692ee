"""The commands of a release: in the right order, understood by the flows, with the recipes of the release."""

import shlex

import pytest

from flows.cli.main import application, main
from tests.lib.audit.night import Night
from tests.lib.release.test_plan import NOTHING, WORDS, frames, listed, sky
from ztf_in2p3.recipes import PsfCatalogueRecipe
from ztf_in2p3.release import Release, plan_of
from ztf_in2p3.release.batches import batches

FILE = """name = "night"
nights = "20190405"
filters = ["zg"]
ccds = [3]
[catalogue.photometry]
detection_sigma = 7.0
[stars]
faint = 17.5
"""


def test_masters_come_first_and_surveys_last():
    rows = [
        *(row for month in (4, 5) for row in (*frames(month, "b", "bi", 5), *frames(month, "f", "zg", 5))),
        *sky("20190405", "zg", 3), *sky("20190510", "zg", 2), *sky("20190630", "zg", 1),
    ]  # fmt: skip
    release = Release.from_words(WORDS)
    ordered = batches(release, plan_of(release, listed(rows), NOTHING))
    assert [(batch.flow, str(batch.period), batch.products) for batch in ordered] == [
        ("calibrate", "20190401_20190430", 4),  # two CCDs: two biases, two flats
        ("calibrate", "20190501_20190531", 4),
        ("catalogue", "20190401_20190430", 3),
        ("catalogue", "20190501_20190531", 2),  # June has no masters within ten days
        ("stars", "20190401_20190630", 1),
        ("ubercal", "20190401_20190630", 1),
    ]


def test_the_commands_are_understood_with_the_recipes_of_the_release(tmp_path, capsys):
    night = Night(tmp_path / "store")
    file = tmp_path / "release.toml"
    file.write_text(FILE)
    assert main(["release", "commands", str(file), str(night.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    release = Release.read(file)
    recipes = {"catalogue": release.catalogue, "stars": release.stars, "ubercal": release.ubercal}
    assert [line.split()[1] for line in lines] == list(recipes)  # masters are there, by the default recipe
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        _, bound, _ = application(words[0]).parse_args(words, exit_on_error=False, print_error=False)
        assert bound.arguments["recipe"] == recipes[words[0]]
    assert release.catalogue.photometry.detection_sigma == 7.0


def test_a_finished_release_has_no_commands(tmp_path):
    release = Release.from_words(WORDS)
    assert batches(release, plan_of(release, listed(sky("20190405", "zg")), NOTHING)) == []


def test_a_recipe_that_a_release_lacks_is_named():
    with pytest.raises(ValueError, match="has no PsfCatalogueRecipe"):
        Release.from_words(WORDS).part(PsfCatalogueRecipe)

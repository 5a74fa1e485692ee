"""A file of the operator that is empty or half written is refused by name, in one line, before anything is computed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.imported_table import with_columns
from tasks.runtime.arguments import checked
from tasks.runtime.settings import operators_rejections, operators_rulings
from ztf_in2p3.errors import Mistyped
from ztf_in2p3.recipes import StarTableRecipe
from ztf_in2p3.scene.target import chosen_targets

READERS: dict[str, Callable[[Path], object]] = {
    "verdicts.toml": lambda path: operators_rulings(),
    "verdicts.toml ": lambda path: operators_rejections(),
    "targets.toml": lambda path: chosen_targets(path, None),
    "columns.toml": lambda path: with_columns(StarTableRecipe(), "stars.csv", str(path)),
    "exposures.csv": lambda path: checked({"exposures": str(path)}),
}


@pytest.mark.parametrize("content", ["", "\n \n", '[[verdict]]\nkind = "bi', "\x80 binary"], ids=repr)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_was_cut_is_refused_by_name(name, content, tmp_path, monkeypatch):
    monkeypatch.setenv("ZTF_DEPLOYMENTS", str(tmp_path))
    path = tmp_path / name.strip()
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(Mistyped) as refused:
        READERS[name](path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_comment_is_no_cut_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ZTF_DEPLOYMENTS", str(tmp_path))
    (tmp_path / "verdicts.toml").write_text("# nothing rejected yet\n")
    assert operators_rulings() == operators_rejections() == ()

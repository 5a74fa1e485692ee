"""What a person types wrong is named before anything starts; what is right arrives as the flow takes it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tasks.runtime.arguments import checked
from ztf_in2p3.errors import Mistyped

TARGET = '[[target]]\nname = "ZTF18abc"\nra = 1.0\ndec = 2.0\nbands = ["zr"]\nshines = [2019-04-05, 2019-08-01]\n'


@pytest.fixture(autouse=True)
def nobodys_account(monkeypatch, tmp_path):
    """Of S3 and the archive, whatever the machine that tests has."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "IRSA_USER", "IRSA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ZTF_CLUSTER", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


WRONG = [
    ({"period": "2019"}, "period: '2019' is no period.*YYYYMMDD"),
    ({"night": "20190405_20190406"}, "night: .*several"),
    ({"camera": "decam"}, "decam.*ztf"),
    ({"ccds": [0]}, r"ccds: \[0\].*1 to 16"),
    ({"filters": ["r"]}, r"filters: \['r'\]; known: zg, zr, zi"),
    ({"filter": "u"}, r"\['u'\]; known: zg"),
    ({"fields": [-1]}, "fields: .*grid"),
    ({"workers": -2}, "workers: -2"),
    ({"max_set_aside": 20}, "max_set_aside: 20; a fraction"),
    ({"store": ""}, "store: nothing given"),
    ({"store": "s3:/bucket"}, "store: 's3:/bucket' is neither.*s3://"),
    ({"store": "file:/data"}, "store: 'file:/data' is neither.*file://"),
    ({"store": "#"}, "store: '#' has"),
    ({"store": "s3://bucket/a#b"}, "store: 's3://bucket/a#b' has"),
    ({"store": "s3://bucket/a"}, "store: .*AWS_ACCESS_KEY_ID"),
    ({"store": "{tmp}/file.txt"}, "store: .*file.txt is a file"),
    ({"store": "{tmp}/file.txt/store"}, "store: .*file.txt is a file"),
    ({"archive": "{tmp}/nowhere"}, "archive: .*nowhere does not exist; expected https"),
    ({"archive": "ftp://host/x"}, "archive: ftp://host/x: expected https"),
    ({"reference": "~/nowhere"}, "reference: .*nowhere does not exist"),
    ({"truth": "{tmp}/file.txt"}, "truth: .*file.txt is no such thing; expected a folder"),
    ({"exposures": "{tmp}/nowhere.csv"}, "exposures: .*nowhere.csv does not exist"),
    ({"external": "{tmp}"}, "external: .*expected a file"),
    ({"targets": "{tmp}/file.txt"}, "targets: .*file.txt"),
    ({"targets": "{tmp}/targets.toml", "names": ["SN1"]}, "names: SN1; .*has ZTF18abc"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_is_wrong_is_named_in_one_line(arguments, message, tmp_path):
    (tmp_path / "file.txt").write_text("no store")
    (tmp_path / "targets.toml").write_text(TARGET)
    typed = {name: value.format(tmp=tmp_path) if isinstance(value, str) else value for name, value in arguments.items()}
    with pytest.raises(Mistyped, match=message) as caught:
        checked(typed)
    assert "\n" not in str(caught.value)


def test_a_home_folder_is_found(tmp_path):
    (tmp_path / "tree").mkdir()
    right = checked({"store": "~/not/there/yet", "archive": "~/tree", "period": "20190405", "workers": 0})
    assert Path(right["store"]) == tmp_path / "not" / "there" / "yet"
    assert Path(right["archive"]) == tmp_path / "tree"
    assert (right["period"], right["workers"]) == ("20190405", 0)
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("store", ["s3://bucket/prefix", "file:///data/ztf"])
def test_addresses_are_right_as_they_are(store, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert checked({"store": store})["store"] == store


@pytest.mark.parametrize("half", ["IRSA_USER", "IRSA_PASSWORD"])
def test_half_an_account_is_no_account(half, monkeypatch):
    monkeypatch.setenv(half, "x")
    with pytest.raises(Mistyped, match=f"{half} is set, but not"):
        checked({})


def test_a_cluster_must_answer(monkeypatch):
    with socket.socket() as scheduler:
        scheduler.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{scheduler.getsockname()[1]}"
        monkeypatch.setenv("ZTF_CLUSTER", address)
        with pytest.raises(Mistyped, match=f"ZTF_CLUSTER: no Dask scheduler answers at {address}"):
            checked({})
        scheduler.listen()
        checked({})
    monkeypatch.setenv("ZTF_CLUSTER", "localhost:8786")
    with pytest.raises(Mistyped, match="ZTF_CLUSTER: localhost:8786 is no address"):
        checked({})

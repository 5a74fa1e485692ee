"""What a person typed, checked before anything is started: by the name of the parameter, for all flows alike."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.runtime.form import require_choice, require_one
from tasks.runtime.locations import IN_STORE, place
from ztf_in2p3.errors import BadData, Mistyped
from ztf_in2p3.periods import Period
from ztf_in2p3.scene.target import read_targets

ANSWER_SECONDS = 10.0


def checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a flow, with ``~`` expanded in places.

    Raises
    ------
    Mistyped
        Naming the parameter, what was found and what may stand there.
    """
    right = dict(arguments)
    for name in [name for name, value in arguments.items() if name in CHECKS and value is not None]:
        try:
            right[name] = CHECKS[name](arguments[name])
        except ValueError as error:
            message = str(error)
            raise Mistyped(message if message.startswith(f"{name}:") else f"{name}: {message}") from None
    try:
        require_choice(right.get("camera") or "ztf", right.get("ccds"), _filters(right), right.get("fields"))
    except ValueError as error:
        raise Mistyped(str(error)) from None
    _check_target_names(right)
    _check_account()
    _check_cluster()
    return right


def _filters(arguments: Mapping[str, Any]) -> list[str] | None:
    return [arguments["filter"]] if arguments.get("filter") else arguments.get("filters")


def _period(text: str) -> str:
    Period.parse(text)
    return text


def _workers(count: int) -> int:
    if count < 0:
        raise ValueError(f"{count}; a number of processes, 0 for none, nothing for one a core")
    return count


def _fraction(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value}; a fraction between 0 and 1")
    return value


def _store(text: str) -> str:
    where = place(text)
    if where.startswith("s3://"):
        _require_s3_account(where)
    elif not where.startswith("file:"):
        folder = Path(where).absolute()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not existing.is_dir():
            raise ValueError(f"{existing} is a file; expected a folder, or s3://bucket/prefix")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ValueError(f"{existing} cannot be written to by you; give another folder")
    return where


def require_folder(store: str, after: str) -> None:
    """Refuse a folder that is not there, as the store of a flow that reads what others made.

    Raises
    ------
    Mistyped
        Naming the folder, and the flows that would make it.
    """
    if "://" not in store and not Path(store).is_dir():
        raise Mistyped(f"store: there is no folder {Path(store).absolute()}; is it mistyped? else run {after} first")


def _require_s3_account(where: str) -> None:
    import botocore.session  # slow, and only of use for S3
    from botocore.exceptions import BotoCoreError

    try:
        account = botocore.session.get_session().get_credentials()
    except BotoCoreError as error:
        raise ValueError(f"{where}: {error}") from None
    if account is None:
        raise ValueError(
            f"{where} needs credentials of S3, and there are none: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE"
        )


def _existing(text: str, what: str, is_right: Callable[[Path], bool]) -> str:
    where = place(text)
    if "://" not in where and not is_right(Path(where)):
        state = "is no such thing" if Path(where).exists() else "does not exist"
        raise ValueError(f"{where} {state}; expected {what}")
    return where


def _archive(text: str) -> str:
    where = _existing(text, "https://host, or a folder in the archive's layout", Path.is_dir)
    if "://" in where and urlsplit(where).scheme not in ("http", "https", "file"):
        raise ValueError(f"{where}: expected https://host, file:///path or a folder")
    return where


def _folder(text: str) -> str:
    return _existing(text, "a folder", Path.is_dir)


def _file(text: str) -> str:
    return _existing(text, "a file", Path.is_file)


def _any(text: str) -> str:
    return _existing(text, "a file or a folder", Path.exists)


def _exposures(text: str) -> str:
    where = _file(text)
    from ztf_in2p3.exposure_list import ExposureList  # reads tables, which is slow to load

    try:
        ExposureList.read(Path(where))
    except BadData as error:
        raise ValueError(str(error)) from None
    return where


def _targets(text: str) -> str:
    where = _file(text)
    read_targets(Path(where))
    return where


def _table(text: str) -> str:
    where = place(text)
    return text if IN_STORE.fullmatch(text) and not Path(where).exists() else _any(text)


CHECKS: dict[str, Callable[[Any], Any]] = {
    "period": _period,
    "night": require_one,
    "workers": _workers,
    "max_set_aside": _fraction,
    "store": _store,
    "folder": _store,
    "archive": _archive,
    "reference": _any,
    "truth": _folder,
    "images": _folder,
    "hats": place,
    "external": _file,
    "exposures": _exposures,
    "table": _table,
    "targets": _targets,
}
"""Checks by the name of the parameter; each returns the value as the flow takes it, or raises `ValueError`."""


def _check_target_names(arguments: Mapping[str, Any]) -> None:
    if arguments.get("names") and arguments.get("targets"):
        known = sorted(target.name for target in read_targets(Path(arguments["targets"])))
        if strange := sorted(set(arguments["names"]) - set(known)):
            raise Mistyped(f"names: {', '.join(strange)}; {arguments['targets']} has {', '.join(known)}")


def _check_account() -> None:
    given = [name for name in ("IRSA_USER", "IRSA_PASSWORD") if os.environ.get(name)]
    if len(given) == 1:
        raise Mistyped(f"{given[0]} is set, but not the other half of the account; set IRSA_USER and IRSA_PASSWORD")


def _check_cluster() -> None:
    address = os.environ.get("ZTF_CLUSTER")
    if not address:
        return
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("tcp", "tls") or not host or not port:
        raise Mistyped(f"ZTF_CLUSTER: {address} is no address of a Dask scheduler; expected tcp://host:8786 or tls://")
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except OSError as error:
        raise Mistyped(
            f"ZTF_CLUSTER: no Dask scheduler answers at {address} ({error}); start it, or unset it"
        ) from None

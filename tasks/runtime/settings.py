"""What the machine and its operator decide: the only place that reads the environment."""

from __future__ import annotations

import base64
import functools
import getpass
import importlib
import importlib.util
import logging
import netrc
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from tasks.runtime.locations import place
from ztf_in2p3.archive import Archive, Credentials, open_archive
from ztf_in2p3.camera import Camera
from ztf_in2p3.detrend.decoded import DecodedMasters
from ztf_in2p3.detrend.verdicts import Rejection, Ruling, rejections, rulings
from ztf_in2p3.errors import Mistyped
from ztf_in2p3.private_folder import private_folder
from ztf_in2p3.store import Provenance, Store, open_store
from ztf_in2p3.store.node_cache import NodeCache

ROOT = Path(__file__).parents[2]

T = TypeVar("T")


def retry_seconds() -> float:
    """First pause before another try; the next ones are twice as long each (``ZTF_RETRY_SECONDS``)."""
    return float(os.environ.get("ZTF_RETRY_SECONDS", "30"))


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cluster() -> str | None:
    """Address of the Dask scheduler whose workers compute, if it is not this machine's processes (``ZTF_CLUSTER``)."""
    return os.environ.get("ZTF_CLUSTER") or None


def now() -> datetime:
    """Date and time, UTC."""
    return datetime.now(UTC)


@functools.cache
def code_commit() -> str:
    """Commit that a wheel was built from, else that of this project's checkout; "unknown" where there is neither."""
    if importlib.util.find_spec("ztf_in2p3._build"):
        return str(importlib.import_module("ztf_in2p3._build").COMMIT)
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != ROOT.resolve():
            return "unknown"  # an installation inside of another project's checkout
        return _git("describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        return "unknown"  # an installation without its history still works, and its manifests say so


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10)
    return run.stdout.strip()


def provenance() -> Provenance:
    """Who makes the products of this process."""
    return Provenance(
        package=version("ztf-in2p3"),
        git=code_commit(),
        host=socket.gethostname(),
        now=now,
        wall=time.monotonic,
        cpu=time.thread_time,
    )


def scratch() -> Path:
    """Folder for what a long computation needs on disk while it runs (``ZTF_SCRATCH``, else the machine's own)."""
    return Path(os.environ.get("ZTF_SCRATCH", tempfile.gettempdir()))


def decoded_masters() -> DecodedMasters:
    """Decoded masters that the processes of this machine share, in a folder of this user's own in `scratch`.

    ``ZTF_MASTERS_GB`` bounds them, 40 by default; 0: every process decodes for itself, each time.
    """
    given = os.environ.get("ZTF_MASTERS_GB", "40")
    try:
        most_bytes = float(given) * 1e9
    except ValueError:
        raise Mistyped(f"ZTF_MASTERS_GB is {given!r}, expected a number of gigabytes") from None
    private = private_folder(scratch()) if most_bytes > 0 else None
    return DecodedMasters(NodeCache(private / "masters", most_bytes) if private else None)


def archive_at(location: str, *, anonymous: bool = False) -> Archive:
    """The archive, with the account of ``IRSA_USER`` and ``IRSA_PASSWORD``, else of the netrc file, else with none.

    Proxies and their exceptions are those of the environment (``https_proxy``, ``no_proxy``), and so are certificates
    of an institute's own (``REQUESTS_CA_BUNDLE``).
    """
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    location = place(location)
    credentials = None if anonymous else _credentials(location)
    return open_archive(location, credentials, proxies=getproxies(), ca_bundle=bundle or None)


def has_account(location: str) -> bool:
    """Whether an account is given for an archive."""
    return _credentials(place(location)) is not None


def _credentials(location: str) -> Credentials | None:
    user, password = os.environ.get("IRSA_USER"), os.environ.get("IRSA_PASSWORD")
    if user and password:
        return Credentials(user, password)
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = urlsplit(location).hostname
    return Credentials.from_netrc(path, host) if host and path.is_file() else None


_SECRETS = (
    "IRSA_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PREFECT_API_KEY",
    "PREFECT_API_AUTH_STRING",
)


def prefect_authorisation() -> dict[str, str]:
    """Header by which a Prefect server that asks for one knows us."""
    key, pair = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    if key:
        return {"Authorization": f"Bearer {key}"}
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"} if pair else {}


def private_words() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Passwords and keys, names of accounts, home folders: what a report for others must not hold."""
    secrets = [os.environ.get(name, "") for name in _SECRETS]
    users = [os.environ.get("IRSA_USER", ""), *(os.environ.get(name, "") for name in ("USER", "LOGNAME"))]
    with suppress(OSError, KeyError):
        users.append(getpass.getuser())
    netrc_path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    with suppress(OSError, netrc.NetrcParseError):
        for login, _, password in netrc.netrc(netrc_path).hosts.values():
            users.append(login or "")
            secrets.append(password or "")
    secrets += [quote(secret, safe="") for secret in secrets]
    homes = (str(Path.home()), os.path.realpath(Path.home()))
    return tuple(filter(None, secrets)), tuple(user for user in users if len(user) > 2), homes


def store_at(url: str, camera: Camera | None = None) -> Store:
    """The store at an address, and the camera whose products are made in it, if any are."""
    return replace(open_store(place(url), provenance()), camera=camera)


def deployments() -> Path:
    """Folder of what an operator edits: ``ZTF_DEPLOYMENTS``, else ./deployments, else the defaults of the package.

    Raises
    ------
    Mistyped
        ``ZTF_DEPLOYMENTS`` names no folder.
    """
    chosen = os.environ.get("ZTF_DEPLOYMENTS")
    if chosen and not Path(chosen).is_dir():
        raise Mistyped(f"ZTF_DEPLOYMENTS is {chosen!r}, which is no folder; make it, or unset the variable")
    packaged = Path(__file__).parents[1] / "deployments"  # of a wheel; a checkout has it at its root
    candidates = [Path(chosen)] if chosen else [Path("deployments"), packaged, ROOT / "deployments"]
    folder = next((path.absolute() for path in candidates if path.is_dir()), packaged)
    _log_once(folder)
    return folder


def deployments_file() -> Path:
    """The file that lists the deployments: ./prefect.yaml, else that of the checkout, else that of the package."""
    candidates = [Path("prefect.yaml"), ROOT / "prefect.yaml"]
    packaged = Path(__file__).parents[1] / "deployments" / "prefect.yaml"
    return next((path.absolute() for path in candidates if path.is_file()), packaged)


@functools.cache
def _log_once(folder: Path) -> None:
    """Say in the log of the process, or of the flow that runs, whose verdicts and targets count."""
    try:
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = get_run_logger()
    except MissingContextError:
        logger = get_logger("deployments")
    logger.info("deployments: %s", folder)


def operators_rulings() -> tuple[Ruling, ...]:
    """Rulings of the operator about master calibrations, in verdicts.toml of `deployments`."""
    return _of_verdicts(rulings)


def operators_rejections() -> tuple[Rejection, ...]:
    """Raw exposures that the operator rejects, in verdicts.toml of `deployments`."""
    return _of_verdicts(rejections)


def _of_verdicts(read: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
    path = deployments() / "verdicts.toml"
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
        if text is not None and not text.strip():
            raise ValueError("is empty; expected tables [[verdict]], [[rejected]], or a comment: was it cut?")
        return () if text is None else read(text)
    except (OSError, ValueError) as error:  # of TOML too
        raise Mistyped(f"{path}: {error}") from None

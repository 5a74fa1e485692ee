"""What the machine and its operator decide: the only place that reads the environment."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from tasks.runtime.locations import place
from ztf_in2p3.archive import Archive, Credentials, open_archive
from ztf_in2p3.detrend.verdicts import Ruling, rulings
from ztf_in2p3.store import Provenance, Store, open_store

ROOT = Path(__file__).parents[2]


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


def archive_at(location: str) -> Archive:
    """The archive, with the account of ``IRSA_USER`` and ``IRSA_PASSWORD``, else of the netrc file, else with none.

    Proxies and their exceptions are those of the environment (``https_proxy``, ``no_proxy``), and so are certificates
    of an institute's own (``REQUESTS_CA_BUNDLE``).
    """
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    location = place(location)
    return open_archive(location, _credentials(location), proxies=getproxies(), ca_bundle=bundle or None)


def _credentials(location: str) -> Credentials | None:
    user, password = os.environ.get("IRSA_USER"), os.environ.get("IRSA_PASSWORD")
    if user and password:
        return Credentials(user, password)
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = urlsplit(location).hostname
    return Credentials.from_netrc(netrc, host) if host and netrc.is_file() else None


def store_at(url: str) -> Store:
    return open_store(place(url), provenance())


def deployments() -> Path:
    """Folder of what an operator edits: ``ZTF_DEPLOYMENTS``, else ./deployments, else the defaults of the package.

    Raises
    ------
    ValueError
        ``ZTF_DEPLOYMENTS`` names no folder.
    """
    chosen = os.environ.get("ZTF_DEPLOYMENTS")
    if chosen and not Path(chosen).is_dir():
        raise ValueError(f"ZTF_DEPLOYMENTS is {chosen!r}, which is no folder; make it, or unset the variable")
    packaged = Path(__file__).parents[1] / "deployments"  # of a wheel; a checkout has it at its root
    candidates = [Path(chosen)] if chosen else [Path("deployments"), packaged, ROOT / "deployments"]
    folder = next((path.absolute() for path in candidates if path.is_dir()), packaged)
    _log_once(folder)
    return folder


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
    path = deployments() / "verdicts.toml"
    try:
        return rulings(path.read_text(encoding="utf-8")) if path.is_file() else ()
    except ValueError as error:  # of TOML too
        raise ValueError(f"{path}: {error}") from None

"""What the machine and its operator decide: the only place that reads the environment."""

from __future__ import annotations

import functools
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
def _git_version() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"  # an installation without its history still works, and its manifests say so
    return found.stdout.strip()


def provenance() -> Provenance:
    """Who makes the products of this process."""
    return Provenance(
        package=version("ztf-in2p3"),
        git=_git_version(),
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
    return open_archive(location, _credentials(location), proxies=getproxies(), ca_bundle=bundle or None)


def _credentials(location: str) -> Credentials | None:
    user, password = os.environ.get("IRSA_USER"), os.environ.get("IRSA_PASSWORD")
    if user and password:
        return Credentials(user, password)
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = urlsplit(location).hostname
    return Credentials.from_netrc(netrc, host) if host and netrc.is_file() else None


def store_at(url: str) -> Store:
    return open_store(url, provenance())


def operators_rulings() -> tuple[Ruling, ...]:
    """What an operator decided about master calibrations (``ZTF_VERDICTS``, else deployments/verdicts.toml)."""
    path = Path(os.environ.get("ZTF_VERDICTS", ROOT / "deployments" / "verdicts.toml"))
    try:
        return rulings(path.read_text(encoding="utf-8")) if path.is_file() else ()
    except ValueError as error:  # of TOML too
        raise ValueError(f"{path}: {error}") from None

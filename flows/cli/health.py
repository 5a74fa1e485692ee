"""Whether a Prefect server answers at an address, and what is wrong if none does."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANSWER_SECONDS = 5.0


def spare_loopback_the_proxy() -> None:
    """Nothing on this machine is reached through a proxy, by this process and its children.

    `urllib`, `requests`, `httpx` and botocore all read ``no_proxy``.
    """
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def is_healthy(url: str) -> bool:
    """Whether a Prefect server answers at an address."""
    return problem_at(url) is None


def problem_at(url: str) -> str | None:
    """What is wrong with the API of a Prefect server at an address, as the end of a sentence; None if nothing is."""
    import http.client  # slow to load, and not needed by commands that start no server
    import urllib.error
    import urllib.request

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{url!r} is no address of a Prefect server; expected one like http://127.0.0.1:4200/api"
    direct = [urllib.request.ProxyHandler({})] if parts.hostname in LOOPBACK else []
    try:
        with urllib.request.build_opener(*direct).open(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS) as answer:
            healthy = answer.read(16).strip() == b"true"
    except urllib.error.HTTPError as error:
        # 401 and 403: it wants the key or password that Prefect's own client has.
        return None if error.code in (401, 403) else f"{url} answers {error.code}; is that the API of a Prefect server?"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"no server answers at {url} ({getattr(error, 'reason', None) or error})"
    return None if healthy else f"{url} is no API of a Prefect server; expected an address that ends in /api"


def listens_here(url: str) -> bool:
    """Whether the address is one of loopback and takes connections, be it that nobody has the time to answer."""
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return False
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=ANSWER_SECONDS).close()
    except OSError:
        return False
    return True

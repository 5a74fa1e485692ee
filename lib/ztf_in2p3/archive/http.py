"""Which way a request takes: through which proxy, after which redirects, with or without cookies."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from ztf_in2p3.errors import BadData, MissingExtra, TransientError

MAX_REDIRECTS = 5
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEMES = tuple(_DEFAULT_PORTS)


class HttpClient:
    """Sends requests for one archive; may be shared by threads.

    The cookies of the archive's session go to the archive's own host, scheme and port only.  A redirect to another
    place is followed without them, since nobody knows who answers there.

    Parameters
    ----------
    base
        Address of the archive.
    proxies
        As `urllib.request.getproxies` gives them: addresses by scheme, and under "no" the hosts to reach without.
        This machine itself is never reached through a proxy.
    ca_bundle
        File or folder of certificates to trust instead of the usual ones.
    """

    def __init__(
        self, base: str, *, connections: int, proxies: Mapping[str, str] | None = None, ca_bundle: str | None = None
    ) -> None:
        if ca_bundle is not None and not Path(ca_bundle).exists():
            raise ValueError(f"certificates to trust: there is no {ca_bundle}; correct REQUESTS_CA_BUNDLE")
        self._base = base
        self._proxies = dict(proxies or {})
        self._session = _session(connections, ca_bundle)
        self._foreign_session = _session(connections, ca_bundle)
        self._foreign_session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    @property
    def cookies(self) -> requests.cookies.RequestsCookieJar:
        """Cookies of the session with the archive."""
        return self._session.cookies

    def is_foreign(self, url: str) -> bool:
        """Whether an address is not the archive's own."""
        return _origin(url) != _origin(self._base)

    def request(
        self,
        method: str,
        url: str,
        timeout: tuple[float, float],
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        allow_redirects: bool = True,
    ) -> requests.Response:
        """The answer of an address, after all redirects if they are allowed.

        Raises
        ------
        BadData
            The redirects lead nowhere, or to where no archive's file should come from.
        """
        target = requests.Request(method, url, params=dict(params or {})).prepare().url or url
        for _ in range(MAX_REDIRECTS + 1):
            session = self._foreign_session if self.is_foreign(target) else self._session
            try:
                response = session.request(
                    method,
                    target,
                    data=data,
                    stream=True,
                    timeout=timeout,
                    allow_redirects=False,
                    proxies=self._route(target),
                )
            except UnicodeDecodeError:  # requests looks at the Location even where it is not to follow it
                raise BadData(f"{url}: redirects to an address that is no text: not followed") from None
            if not (allow_redirects and response.is_redirect):
                return response
            response.close()
            before, target = target, urljoin(target, response.headers["Location"])
            scheme = urlsplit(target).scheme
            if scheme not in _SCHEMES or (scheme == "http" and urlsplit(before).scheme == "https"):
                raise BadData(f"{url}: redirects to {_place(target)}, which is no encrypted web address: not followed")
        raise BadData(f"{url}: more than {MAX_REDIRECTS} redirects, the last to {_place(target)}; not followed further")

    def _route(self, url: str) -> dict[str, str]:
        """Proxies for an address, by scheme; none for this machine and for the exceptions."""
        host = urlsplit(url).hostname or ""
        if is_loopback(host) or self._is_exception(host):
            return {}
        return {scheme: address for scheme, address in self._proxies.items() if scheme not in ("no", "no_proxy")}

    def _is_exception(self, host: str) -> bool:
        """Whether the list of exceptions names a host, a domain above it, or a network (10.0.0.0/8) it is in."""
        text = self._proxies.get("no") or self._proxies.get("no_proxy") or ""
        if any(_names(part.strip(), host) for part in text.split(",")):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in _networks(text))


@contextmanager
def failures_explained(url: str, clean: Callable[[str], str]) -> Iterator[None]:
    """Turn what a request raises into errors that say what to do.

    Parameters
    ----------
    clean
        Takes what is secret out of a text.

    Raises
    ------
    ValueError
        The address, or the proxy's, is none.
    MissingExtra
        The proxy speaks SOCKS, for which a package is lacking.
    BadData
        Nobody vouches for the server's certificate.
    TransientError
        No answer.
    """
    try:
        yield
    except requests.exceptions.InvalidProxyURL:
        raise ValueError(f"{url}: the proxy's address is none; correct http_proxy or https_proxy") from None
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidSchema,
    ) as error:
        if "SOCKS" not in str(error):
            raise ValueError(f"{url} is no address of a web archive; expected one like https://host") from None
        raise MissingExtra(
            f"{url}: the proxy of the environment speaks SOCKS, and the package PySocks is not installed; install "
            "it (pip install PySocks), or name an http:// proxy, or the host in no_proxy"
        ) from None
    except requests.RequestException as error:
        if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise BadData(
                f"{url}: nobody whom we trust vouches for the server's certificate; if that is right (an institute's "
                "own authority), set REQUESTS_CA_BUNDLE to the file with its certificate"
            ) from None
        raise TransientError(f"{url}: no answer ({clean(str(error))}); try again later") from None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost")


def _names(exception: str, host: str) -> bool:
    """Whether an entry of no_proxy (``*``, ``host``, ``.domain``, with a port or without) names a host."""
    domain = exception.rpartition(":")[0] if exception.rpartition(":")[2].isdigit() else exception
    domain = domain.lower().lstrip("*").lstrip(".")
    return exception == "*" or (bool(domain) and (host.lower() == domain or host.lower().endswith(f".{domain}")))


def _networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for part in text.split(","):
        try:
            networks.append(ipaddress.ip_network(part.strip(), strict=False))
        except ValueError:  # a host name
            continue
    return networks


def _session(connections: int, ca_bundle: str | None) -> requests.Session:
    session = requests.Session()
    # Nothing from the environment: it would also send the password of ~/.netrc with every request.
    session.trust_env = False
    session.verify = ca_bundle or True
    # Compressed transfers would make the announced length meaningless.
    session.headers["Accept-Encoding"] = "identity"
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _place(url: str) -> str:
    """Scheme and host of an address: what follows may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"

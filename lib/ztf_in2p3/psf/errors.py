"""Reasons for which a PSF cannot be known."""

from __future__ import annotations

from ztf_in2p3.errors import BadData


class NoStars(BadData):
    """Too few stars to know the PSF, the WCS or the throughput of an exposure."""

"""Addresses of public data: known without loading what reads it."""

from __future__ import annotations

IRSA_ADDRESS = "https://irsa.ipac.caltech.edu"
"""The archive of ZTF."""
GAIA_ADDRESS = "s3://stpubdata/gaia/gaia_dr3/public/hats/gaia"
"""Public copy of Gaia DR3, read without an account."""

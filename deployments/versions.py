"""Versions of deployments: Serve replaces the replicas of those whose version has changed, and of no others.

Left alone, Serve gives each deployment a random version at every call, so that any change of the configuration would restart
everything. Its own option for that has been removed; the attribute behind it is still read (tests/contracts/test_ray_seam.py).
"""

import hashlib
from typing import Any

from gateway import __version__


def versioned(deployment: Any, *parts: object) -> Any:
    """The deployment, as a version that is a function of `parts` and of this package."""
    deployment._version = hashlib.sha256(repr((__version__, *parts)).encode()).hexdigest()[:16]  # noqa: SLF001
    return deployment

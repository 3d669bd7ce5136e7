"""The page's files as they are served: from a fixed list, compressed once, revalidated by their digest.

Plotly's JavaScript is that of the installed package; its name carries the version, so browsers keep it for good.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Final

from gateway.http.asgi import Headers

PAGE: Final = Path(__file__).parent / "page"
TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
NO_STYLE: Final = b"'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""Of the empty string: Plotly makes an empty <style> and fills it by rules. No text in the page can be a style by it."""
SECURITY: Final[Headers] = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' "
        + NO_STYLE
        + b"; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


@dataclass(frozen=True)
class Asset:
    """`body` is compressed; `etag` is of what it was before."""

    body: bytes
    headers: Headers
    etag: bytes


def plotly_name() -> str:
    return f"plotly-{version('plotly')}.min.js"


def _plotly() -> Path:
    return Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))


def load(name: str) -> Asset | None:
    """A file of the page, or of Plotly's package by `plotly_name`; None if there is no such file. Blocks for some 100 ms."""
    if name == plotly_name():
        return _asset(_plotly(), b"public, max-age=31536000, immutable")
    path = PAGE / name
    if path.suffix not in TYPES or name not in {file.name for file in PAGE.iterdir()}:
        return None
    return _asset(path, b"no-cache")


def _map_style() -> bytes:
    """The id of the style sheet that Plotly adds for maps unless it finds one: the page has no maps, the policy no room for it."""
    found = re.search(rb'getElementById\("([0-9a-f]{64})"\)', _plotly().read_bytes())
    return b"no-map" if found is None else found[1]


def _asset(path: Path, cached: bytes) -> Asset:
    raw = path.read_bytes()
    if path.name == "index.html":
        raw = raw.replace(b"PLOTLY", plotly_name().encode()).replace(b"MAP_STYLE", _map_style())
    etag = b'"%b"' % hashlib.sha256(raw).hexdigest()[:32].encode()
    headers = [
        (b"content-type", TYPES[path.suffix]),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
        (b"cache-control", cached),
        (b"etag", etag),
        *SECURITY,
    ]
    return Asset(gzip.compress(raw, 6, mtime=0), headers, etag)

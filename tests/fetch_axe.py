"""Puts axe-core, which checks pages for accessibility, into .cache/axe/VERSION/axe.min.js.

The package is taken from the npm registry, or from ``NPM_CONFIG_REGISTRY``, and compared with what
npm's lock files call its integrity. Only that one file is kept; it runs in the tests' browser.
Run it as often as you like: once the file is there it does nothing and prints nothing.

    python3 tests/fetch_axe.py
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
MOST_BYTES = 16 << 20
SCRIPT = Path(__file__).resolve().parent.parent / ".cache" / "axe" / VERSION / "axe.min.js"


def fetch() -> Path:
    """The path of the script, fetched unless it is there. Raises OSError."""
    if SCRIPT.exists():
        return SCRIPT
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    url = f"{registry}/axe-core/-/axe-core-{VERSION}.tgz"
    with urllib.request.urlopen(url, timeout=60) as answer:
        package = answer.read(MOST_BYTES)
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != SHA512:
        raise OSError(f"{url} is not the axe-core {VERSION} that was published")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        member = archive.extractfile("package/axe.min.js")
        if member is None:
            raise OSError(f"{url} holds no axe.min.js")
        content = member.read()
    SCRIPT.parent.mkdir(parents=True, exist_ok=True)
    temporary = SCRIPT.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(content)
    temporary.rename(SCRIPT)  # last: a fetch that was interrupted starts again
    return SCRIPT


if __name__ == "__main__":
    try:
        fetch()
    except OSError as error:
        print(f"fetch_axe: {error}", file=sys.stderr)
        sys.exit(1)

"""Puts anvil, the dev node that the tests run against, into .cache/anvil/VERSION/bin/anvil.

The package is taken from the configured npm registry: through npm where that is installed, else
directly from ``NPM_CONFIG_REGISTRY`` or registry.npmjs.org. Nothing of it is executed or installed.
Run it as often as you like: once the binary is there it does nothing and prints nothing.

    python3 tests/fetch_anvil.py
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

VERSION = "1.7.1"
# What npm's lock files call integrity. Where an architecture is not listed npm's own check counts.
SHA512 = {
    "linux-amd64": "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/"
    "ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
}
BINARY = Path(__file__).resolve().parent.parent / ".cache" / "anvil" / VERSION / "bin" / "anvil"


def build() -> str:
    """The name under which the package for this machine is published."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}-{machine}"


def download(folder: Path) -> Path:
    """The package as a tarball in ``folder``. Raises OSError or SubprocessError."""
    name = f"anvil-{build()}"
    if shutil.which("npm"):
        subprocess.run(
            ["npm", "pack", "--silent", f"@foundry-rs/{name}@{VERSION}"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=300,
        )
        return next(folder.glob("*.tgz"))
    if build() not in SHA512:
        raise OSError(f"npm is not installed, and nothing is known to check {name} with")
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    tarball = folder / "anvil.tgz"
    url = f"{registry}/@foundry-rs/{name}/-/{name}-{VERSION}.tgz"
    with urllib.request.urlopen(url, timeout=300) as answer, tarball.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return tarball


def fetch() -> Path:
    """The path of the binary, fetched unless it is there. Raises OSError or SubprocessError."""
    if BINARY.exists():
        return BINARY
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BINARY.parent) as folder:
        tarball = download(Path(folder))
        expected = SHA512.get(build())
        digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
        if expected is not None and digest != expected:
            raise OSError(f"{tarball.name} is not the anvil {VERSION} that was published")
        with tarfile.open(tarball) as archive:
            member = archive.extractfile("package/bin/anvil")
            if member is None:
                raise OSError(f"{tarball.name} holds no bin/anvil")
            unpacked = Path(folder) / "anvil"
            unpacked.write_bytes(member.read())
        unpacked.chmod(0o755)
        unpacked.rename(BINARY)  # last: a fetch that was interrupted starts again
    return BINARY


if __name__ == "__main__":
    try:
        fetch()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"fetch_anvil: {error}", file=sys.stderr)
        sys.exit(1)

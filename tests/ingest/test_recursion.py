from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.environment import environment

SCRIPT = """
import sys
from pathlib import Path
before = sys.getrecursionlimit()
{loads}
assert "web3" in sys.modules
assert sys.getrecursionlimit() == before, sys.getrecursionlimit()
from chainwarden.errors import ChainwardenError
from detect.labels import LabelBook
Path(sys.argv[1]).write_bytes(b"[" * 200_000)
try:
    LabelBook().load(Path(sys.argv[1]))
except ChainwardenError as error:
    print("refused:", error)
"""
PROVIDER = """
from ingest.rpc import RpcSource
from chainwarden.schema import ETHEREUM
with RpcSource(["http://127.0.0.1:1/"], ETHEREUM) as source:
    source.web3
"""
PLAYER = """
from chainwarden.errors import EndpointError
from ingest.simulate.playing import play
try:
    play("http://127.0.0.1:1/", "native_claim", 1, 0.0)
except EndpointError:
    pass
"""


def test_a_bomb_of_brackets_is_refused_though_web3_is_loaded(tmp_path: Path) -> None:
    """However web3 comes in, the recursion limit stays, and nested JSON is an error."""
    for loads in (PROVIDER, PLAYER):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(loads=loads), str(tmp_path / "bomb.json")],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("refused:")

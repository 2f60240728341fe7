"""``chainwarden doctor``: the machine, and settings that do not hold."""

from __future__ import annotations

import json
from pathlib import Path

from chainwarden.doctor import Check
from chainwarden.doctor.machine import check_libraries, check_python
from tests.command import run


def test_libraries_are_compared_with_their_pins() -> None:
    """Another version and a missing library are named; extras and other requirements are not."""
    pins = ["numpy==2.4.6", "kafka-python[crc32c,lz4]==3.0.12", "x>=1", "y==1; extra == 'z'"]
    right = {"numpy": "2.4.6", "kafka-python": "3.0.12"}
    assert check_libraries(pins, right) == Check("libraries", "ok", "2 as pinned")
    wrong = check_libraries(pins, {"numpy": "2.4.5"})
    assert wrong.status == "failed"
    assert wrong.found == "numpy is 2.4.5, not 2.4.6; kafka-python is missing, not 3.0.12"
    assert wrong.hint
    assert check_libraries(None).status == "skipped"


def test_an_old_python_is_refused() -> None:
    """3.10 fails, 3.11 and later are well."""
    assert check_python((3, 10)).status == "failed"
    assert check_python((3, 11)).status == check_python((4, 0)).status == "ok"


def test_bad_settings_are_one_finding_and_the_rest_says_why_not(tmp_path: Path) -> None:
    """The nearest key is named, checks that need settings are skipped, the exit code is 10."""
    (tmp_path / "chainwarden.toml").write_text("[server]\nprot = 1\n", encoding="utf-8")
    done = run("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 10
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["settings"]["status"] == "failed"
    assert "prot" in found["settings"]["found"]
    assert found["settings"]["hint"] == "did you mean port?"
    assert found["python"]["status"] == "ok"
    skipped = [one for one in found.values() if one["status"] == "skipped"]
    assert {"ledger", "nodes", "kafka"} <= {one["name"] for one in skipped}
    assert all(one["found"] == "the settings do not load" for one in skipped)

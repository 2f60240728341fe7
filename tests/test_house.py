"""The house itself: who may import whom, what the wheel holds, what the README shows."""

from __future__ import annotations

import ast
import re
import site
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST, ROOT

STAGES = ("ingest", "detect", "store")
PACKAGES = ("chainwarden", *STAGES, "dashboards")
# What is below what: a module may import from its own layer's set and from those before it.
BOTTOM = {"chainwarden.schema", "chainwarden.errors"}
MIDDLE = BOTTOM | {
    "chainwarden.addresses",
    "chainwarden.bus",
    "chainwarden.child_process",
    "chainwarden.metrics",
    "chainwarden.settings",
    "chainwarden.server",
    "chainwarden.wire",
    "chainwarden.assembly",
    "chainwarden.memory_bus",
}
ONLY_IN = {
    "web3": ("ingest.",),
    "river": ("detect.",),
    "numba": ("detect.",),
    "duckdb": ("store.",),
    "kafka": ("chainwarden.kafka_bus",),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product, by dotted name."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """The dotted names a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_stages_never_import_one_another_nor_what_joins_them() -> None:
    """ingest, detect and store see only the bottom of chainwarden and themselves."""
    for name, tree in modules():
        stage = name.split(".")[0]
        if stage not in STAGES:
            continue
        for target in imported(name, tree):
            root = target.split(".")[0]
            assert root not in STAGES or root == stage, f"{name} imports {target}"
            if root == "chainwarden" and target.count(".") == 1:
                assert target in MIDDLE or target == "chainwarden.__version__", (
                    f"{name} imports {target}"
                )


def test_the_bottom_imports_nothing_above_it() -> None:
    """schema and errors import no other module of the product; the middle only those below."""
    for name, tree in modules():
        allowed = BOTTOM if name in BOTTOM else MIDDLE if name in MIDDLE else None
        if name == "chainwarden.kafka_bus":
            allowed = MIDDLE
        if allowed is None:
            continue
        for target in imported(name, tree):
            root = target.split(".")[0]
            assert root not in STAGES, f"{name} imports {target}"
            if root == "chainwarden" and target.count(".") == 1:
                assert target in allowed or target == "chainwarden.__version__", (
                    f"{name} imports {target}"
                )


def test_heavy_libraries_stay_where_they_belong() -> None:
    """web3 only in ingest, river and numba in detect, duckdb in store, Kafka in its adapter."""
    for name, tree in modules():
        for target in imported(name, tree):
            homes = ONLY_IN.get(target.split(".")[0])
            if homes:
                assert f"{name}.".startswith(homes) or name.startswith(homes), (
                    f"{name} imports {target}"
                )


def test_no_module_has_a_name_that_says_nothing() -> None:
    """utils, common, helpers, manager, base and core name no place."""
    for name, _ in modules():
        assert name.split(".")[-1] not in {
            "utils", "common", "helpers", "manager", "base", "core"
        }, name  # fmt: skip


def test_no_check_is_silenced() -> None:
    """No comment tells mypy or ruff to look away: not in the product, its tests or benchmarks."""
    told = re.compile(r"#\s*(type:\s*ignore|noqa|ruff:\s*noqa|mypy:)")
    silenced = [
        f"{path.relative_to(ROOT)}:{number}"
        for package in (*PACKAGES, "tests", "benchmarks")
        for path in sorted((ROOT / package).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if told.search(line)
    ]
    assert silenced == []


@pytest.mark.timeout(300)
def test_the_wheel_holds_every_package(tmp_path: Path) -> None:
    """The wheel that is built imports, from an empty folder, every module of the product."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(tmp_path),
            ".",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    shipped = {path.name for path in (ROOT / "dashboards" / "console").iterdir()}
    assert "index.html" in shipped
    assert {path.name for path in (unpacked / "dashboards" / "console").iterdir()} == shipped
    names = [name for name, _ in modules()]
    script = (
        "import importlib, sys\n"
        f"sys.path[:0] = [{str(unpacked)!r}]\n"
        f"sys.path += {[p for p in site.getsitepackages() if Path(p).is_dir()]!r}\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        f"    assert module.__file__.startswith({str(unpacked)!r}), module.__file__\n"
    )
    # -S keeps the editable install's path hook out, -P the current folder.
    subprocess.run([sys.executable, "-P", "-S", "-c", script, *names], cwd=tmp_path, check=True)


def test_the_files_that_are_run_first_exist() -> None:
    """A file that was renamed would be begun anywhere, and nobody would see it."""
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []

"""``chainwarden bench``."""

from __future__ import annotations

from chainwarden.errors import SettingsError
from chainwarden.terminal import print_json


def bench(names: list[str], *, json: bool) -> None:
    """Run the benchmarks of a checkout and print one table, or one JSON object."""
    try:
        from benchmarks.table import print_results, run_benchmarks
    except ImportError as error:
        raise SettingsError(
            "the benchmarks are not installed", hint="run it from a checkout, or: make bench"
        ) from error
    results = run_benchmarks(names)
    if json:
        print_json({"results": [result.to_dict() for result in results]})
    else:
        print_results(results)

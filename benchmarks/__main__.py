"""Run the benchmarks and print one table: ``make bench``."""

from __future__ import annotations

import sys

from benchmarks.table import print_results, run_benchmarks

if __name__ == "__main__":
    print_results(run_benchmarks(sys.argv[1:]))

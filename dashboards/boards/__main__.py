"""Writes every board: ``python -m dashboards.boards [FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from dashboards.boards.written import written

FOLDER: Final = Path(__file__).parents[1] / "grafana" / "boards"

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in written().items():
        (folder / name).write_text(text, encoding="utf-8")

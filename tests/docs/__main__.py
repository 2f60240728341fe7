"""``make docs``: writes the generated pages of docs/ anew."""

from __future__ import annotations

from tests.docs.reference import PAGES

for path, made in PAGES.items():
    path.write_text(made(), encoding="utf-8")

"""The evidence for an alert as one file that can be handed on: a ZIP that is made of what was kept.

    alert.json          the alert as the API tells it
    explanation.json    all that is known of it
    labels.json         who said what of its wallet, and took it back
    rows/<table>.jsonl  the lake's rows of its block and its transactions, orphaned ones included
    manifest.json       which ledger, at which block, where its audit chain ended, what was not
                        found, and what is in each file
    SHA256SUMS          of all of these, as ``sha256sum --check`` takes them

The same ledger and lake make the same file, byte for byte: no clock, no order of chance, and
nothing compressed, as libraries differ there.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Final

import msgspec

from chainwarden import __version__
from chainwarden.schema import Alert, hex_of
from store.answers import Answer
from store.audit_answers import head_answer
from store.label_answers import label_history_answer
from store.lake_rows import FoundRows
from store.ledger import Ledger

MAX_BYTES: Final = 32 * 1024 * 1024
"""Of all files together: rows beyond it are left out, and the manifest says how many."""

_CHANGES: Final = 1000
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP can hold


def bundle(ledger: Ledger, alert: Alert, explanation: Answer, found: FoundRows) -> bytes:
    """The file. ``found`` are the rows of the alert's transactions."""
    cursor = ledger.cursor()
    head = cursor.head if cursor else None
    end = head_answer(ledger)
    audit = {name: end[name] for name in ("entries", "digest")}
    files = {
        "alert.json": _json(explanation["alert"]),
        "explanation.json": _json(explanation),
        "labels.json": _json(label_history_answer(ledger, _CHANGES, alert.subject)),
    }
    left_out = dict(found.left_out)
    room = MAX_BYTES - sum(map(len, files.values()))
    for name, rows in found.rows.items():
        lines = [msgspec.json.encode(row) + b"\n" for row in rows]
        kept = 0
        for kept, line in enumerate(lines, 1):
            room -= len(line)
            if room < 0:
                kept -= 1
                break
        files[f"rows/{name}.jsonl"] = b"".join(lines[:kept])
        if kept < len(lines):
            left_out[name] = left_out.get(name, 0) + len(lines) - kept
    files["manifest.json"] = _json(
        {
            "alert": alert.id,
            "chain": {"name": ledger.chain.name, "id": ledger.chain.id},
            "ledger": ledger.identity,
            "audit": audit,
            "head": None if head is None else {"number": head.number, "hash": hex_of(head.hash)},
            "chainwarden": __version__,
            "transactions_not_found": [hex_of(one) for one in found.missing],
            "rows_left_out": left_out,
            "files": {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in sorted(files.items())
            },
        }
    )
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return _zip({**files, "SHA256SUMS": "".join(sums).encode()})


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _zip(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # whatever it was made on
            archive.writestr(entry, files[name])
    return made.getvalue()

"""Alerts as an attacker would write them, where he gets to write something."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from chainwarden.schema import (
    ZERO_ADDRESS,
    Alert,
    Chain,
    Cursor,
    Evidence,
    Hop,
    Label,
    Position,
    Reason,
    Role,
    Severity,
)
from store.lake import Lake
from store.ledger import Commit, Ledger
from tests.store.made import blocks

SENTENCE: Final = (
    "</p><script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=alert(1)> "
    "\"'&amp; | [click](http://127.0.0.1:9/y) `code` **bold** @team {{ 7*7 }} {% raw %}"
)
WORD: Final = '"><svg onload=alert(1)><a href="http://127.0.0.1:9/z">'
FORMULA: Final = '=HYPERLINK("http://127.0.0.1:9/"&A1;"x")'
TEXTS: Final[dict[str, str]] = {
    "nul": "a\x00b",
    "surrogate": "a\ud800b\udfff",
    "bidi": "\u202egnp.exe\u2066\u200f",
    "ansi": "\x1b[31m\x1b]0;owned\x07\x1b[2J\x9b31m",
    "lines": "one\r\ntwo\x0bthree\x0cfour\x85five\u2028six\u2029",
    "formula": "=cmd|' /C calc'!A0",
    "formula later": "\t @SUM(1+1)",
    "mention": "<!channel> <!here> @everyone @team",
    "script": "<script>document.title='owned'</script>",
    "markup": "[/red] [bold]x :smile: [link=http://127.0.0.1:9]y",
    "template": "{{ 7*7 }} {% raw %} ${x} %s %n {0}",
    "homoglyph": "\u054dSDT \u0405USD Tеther",
    "zero width": "US\u200bD\u200dT\ufeff\u00ad",
    "tags": "\U000e0041\U000e007f",
    "long": "x" * 1_000_000,
}
"""What a name, a symbol, a revert reason or a label may be."""
CHAIN: Final = Chain("<b>net", 5)
THIEF: Final = bytes([0xAA]) * 20


def alert(number: int, **changed: Any) -> Alert:
    """An alert whose every text is hostile."""
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "chain": CHAIN,
        "rule": f"<i>{WORD}",
        "rule_version": 1,
        "typology": FORMULA,
        "severity": Severity.HIGH,
        "score": 0.9,
        "subject": THIEF,
        "role": Role.ATTACKER,
        "position": Position(100 + number, b""),
        "block_timestamp": 1_700_000_000 + number,
        "transaction_hash": bytes([7]) * 32,
        "ordinal": -1,
        "sentence": SENTENCE,
        "reasons": (Reason(f"{FORMULA}{WORD}", float("inf"), -0.5, float("nan")),),
        "evidence": Evidence(
            (bytes([7]) * 32,),
            (THIEF, bytes([8]) * 20),
            ((None, 2**256 - 1), (THIEF, 5)),
            (
                Hop(bytes([9]) * 32, bytes([8]) * 20, THIEF, 3 * 10**18),
                Hop(None, THIEF, bytes([8]) * 20, 2**256 - 1, THIEF),
            ),
        ),
    }
    return Alert(**{**fields, **changed})


def write(out: Path, with_features: bool = True) -> None:
    """A ledger and a lake of these alerts."""
    batch = blocks(100, 7)
    lake = Lake(out / "lake", CHAIN)
    values = pa.array(np.linspace(-0.1, 1.2, batch.flows.num_rows))
    features = batch.flows.select(["block_number", "ordinal", "batch_index"])
    for name in ("flow_score", "from_score", "to_score"):
        features = features.append_column(name, values)
    files = lake.write(batch, features if with_features else None)
    subject = batch.flows["from_address"][0].as_py()
    alerts = [
        alert(1),
        alert(2, sentence=FORMULA, subject=subject),
        alert(3, sentence="\u202egnp.exe\r\n# heading\x00", rule="@rule", severity=Severity.LOW),
        alert(4, subject=ZERO_ADDRESS, severity=Severity.CRITICAL),
    ]
    with Ledger.open(out / "ledger.duckdb", CHAIN, "replay") as ledger:
        ledger.commit(
            Commit(Cursor(Position(106, b""), blocks=7), alerts=alerts, files_added=files)
        )
        for word in (WORD, FORMULA):
            ledger.add_label(Label(subject, word, "me"))
            ledger.add_label(Label(THIEF, word, "me"))
            for counterparty in set(batch.flows["to_address"].to_pylist()):
                ledger.add_label(Label(counterparty, word, "me"))


CHAT_TEXTS: Final = (
    SENTENCE,
    WORD,
    FORMULA,
    "<!channel> <!here> <!everyone> <@U1> <#C1> <https://evil.example|click>",
    "@everyone @here <@123> <@&456> <#789> https://discord.gg/evil",
    "[text](http://evil.example) <a href='https://evil.example'>x</a>",
    "www.evil.example evil.example",
    "http://evil.example?a=1 HTTPS://EVIL.EXAMPLE javascript:alert(1) mailto:a@evil.example",
    "\u202egnp.exe\u2066\u200b\ufeff\u00ad",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "nul\x00 bell\x07 \x9b31m \u2028 \u2029",
    "subject\r\nBcc: victim@evil.example\r\n\r\nbody\n.\nQUIT\r\n",
    "\udcff lone \ud800",
    "e\u0301" * 500,
    "A" * 1_000_000,
    "``` **bold** __u__ ~~s~~ ||spoiler|| > quote # head \\",
    "",
)
"""What an attacker writes where a chat, a pager or a mail client shows it."""

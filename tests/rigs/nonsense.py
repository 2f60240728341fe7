"""Answers that are not what they should be: JSON bombs, garbage, values of every wrong kind."""

from __future__ import annotations

import gzip
import random
from typing import Any

from tests.rigs.liar import Answer, Json

VALUES: tuple[Json, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "0x",
    "0xzz",
    "0x" + "f" * 5_000,
    "-0x1",
    "0x1",
    "\ud800",
    "\x00" * 40,
    "x" * 100_000,
    [],
    [[]],
    {},
    [None],
    {"from": {}},
    "0x" + "00" * 33,
    "0x" + "00" * 31,
)
"""What is hardly ever the right value of a field."""


BODIES: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"[null]",
    b"[[[",
    b"\xff\xfe\x00",
    b"\x00" * 1_000,
    b"<html>502 Bad Gateway</html>",
    b'{"jsonrpc":"2.0","id":0}',
    b'{"id":null,"error":null}',
    b'{"id":0,"error":"a text"}',
    b'[{"id":0,"result":NaN}]',
    b'[{"id":0,"result":-Infinity}]',
    b'[{"id":%d,"result":null}]' % 10**40,
    b'{"id":' + b"9" * 5_000 + b',"result":"0x1"}',
    b'{"id":0,"result":' + b"9" * 5_000 + b"}",
    b"[" * 100_000,
    b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"error":{"code":1e400,"message":[]}}',
    b'{"error":{"code":-32000,"message":"' + b"\\u0000" * 1_000 + b'"}}',
    b"\xef\xbb\xbf[]",
)
"""Bodies that are no answer to anything."""


def mangled(rng: random.Random) -> Answer:
    """An HTTP answer that cannot be used."""
    body = rng.choice(BODIES)
    match rng.randrange(6):
        case 0:
            return Answer(gzip.compress(body)[:-4], headers={"Content-Encoding": "gzip"})
        case 1:
            return Answer(body, headers={"Content-Encoding": rng.choice(["gzip", "br", "x"])})
        case 2:
            return Answer(body, rng.choice([301, 400, 401, 403, 404, 500, 502, 503, 504]))
        case _:
            return Answer(body)


def replaced(thing: Json, rng: random.Random, value: Json) -> Json:
    """The JSON with the value in a place somewhere inside it; changed in place."""
    spot: Any = thing
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        if not keys:
            return value if spot is thing else thing
        key = rng.choice(keys)
        if isinstance(spot[key], dict | list) and spot[key] and rng.random() < 0.8:
            spot = spot[key]
            continue
        spot[key] = value
        return thing

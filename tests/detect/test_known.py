"""Selectors and topics are the keccak of the signatures beside them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import sha3

from detect import known
from detect.known.calls import NATIVE_CLAIMS, PERMITS
from detect.known.calls import SELECTORS as CALLS
from detect.known.safes import MULTI_SENDS, SAFE_LIBRARIES


def gathered(name: str) -> dict[Any, str]:
    """The entries of every module's table of that name; no key stands for two signatures."""
    found: dict[Any, str] = {}
    for module in pkgutil.iter_modules(known.__path__):
        table = getattr(importlib.import_module(f"detect.known.{module.name}"), name, {})
        for key, signature in table.items():
            assert found.setdefault(key, signature) == signature
    return found


def test_selectors_are_those_of_their_signatures() -> None:
    """Each selector is the first four bytes of the keccak of its signature."""
    selectors = gathered("SELECTORS")
    assert len(selectors) > 20
    for selector, signature in selectors.items():
        assert sha3.keccak_256(signature.encode()).digest()[:4] == selector.to_bytes(4, "big")
    assert set(NATIVE_CLAIMS) | set(PERMITS) <= set(CALLS)


def test_topics_are_those_of_their_signatures() -> None:
    """Each topic is the keccak of its event's signature."""
    topics = gathered("TOPICS")
    assert len(topics) > 10
    for topic, signature in topics.items():
        assert sha3.keccak_256(signature.encode()).digest() == topic, signature


def test_every_multi_send_is_a_safe_library() -> None:
    """What is unpacked is also what may be delegated to."""
    assert MULTI_SENDS < SAFE_LIBRARIES

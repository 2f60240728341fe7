"""Selectors and topics are the keccak of the signatures beside them."""

from __future__ import annotations

import sha3

from detect.known import MULTI_SENDS, NATIVE_CLAIMS, PERMITS, SAFE_LIBRARIES, SELECTORS, TOPICS


def test_selectors_are_those_of_their_signatures() -> None:
    """Each selector is the first four bytes of the keccak of its signature."""
    for selector, signature in SELECTORS.items():
        assert sha3.keccak_256(signature.encode()).digest()[:4] == selector.to_bytes(4, "big")
    assert set(NATIVE_CLAIMS) | set(PERMITS) <= set(SELECTORS)


def test_topics_are_those_of_their_signatures() -> None:
    """Each topic is the keccak of its event's signature."""
    for topic, signature in TOPICS.items():
        assert sha3.keccak_256(signature.encode()).digest() == topic, signature


def test_every_multi_send_is_a_safe_library() -> None:
    """What is unpacked is also what may be delegated to."""
    assert MULTI_SENDS < SAFE_LIBRARIES

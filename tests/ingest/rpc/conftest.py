"""Nodes that have one recording, and sources that ask them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ingest.rpc import RpcConfig, RpcSource
from tests.ingest.rpc.asked import LASTING
from tests.rigs.liar import Liar, Recording


@pytest.fixture(scope="session")
def recording() -> Recording:
    """Forty blocks that commit to what they hold. Tests leave it as it is."""
    made = Recording()
    made.grow(40)
    return made


@pytest.fixture
def liar(recording: Recording) -> Iterator[Liar]:
    """A node that has the recording."""
    with Liar(recording) as server:
        yield server


@pytest.fixture
def honest(recording: Recording) -> Iterator[Liar]:
    """Another node that has the recording and always tells the truth."""
    with Liar(recording) as server:
        yield server


@pytest.fixture
def sources() -> Iterator[Any]:
    """Opens sources that are closed after the test."""
    with ExitStack() as stack:

        def source(*liars: Liar, config: RpcConfig = LASTING) -> RpcSource:
            return stack.enter_context(RpcSource([each.url for each in liars], config=config))

        yield source

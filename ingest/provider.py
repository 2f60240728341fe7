"""web3.py over our endpoints: its contracts, ABI and formatters, our failover and secrecy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from web3 import Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from ingest.fault import NodeError


class PoolProvider(JSONBaseProvider):
    """A web3 provider whose requests are made by ``call(method, params)``."""

    def __init__(self, call: Callable[[str, Sequence[Any]], msgspec.Raw]) -> None:
        super().__init__()
        self._call = call

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The reply as web3 expects it. Raises EndpointError where no endpoint answers."""
        plain = msgspec.json.decode(Web3.to_json(params))
        try:
            result = msgspec.json.decode(self._call(method, plain))
        except NodeError as error:
            return {"jsonrpc": "2.0", "id": 0, "error": {"code": error.code, "message": str(error)}}
        return {"jsonrpc": "2.0", "id": 0, "result": result}


def web3_on(call: Callable[[str, Sequence[Any]], msgspec.Raw]) -> Web3:
    """A ``Web3`` whose requests are made by ``call``."""
    return Web3(PoolProvider(call))

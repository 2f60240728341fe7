"""Where nodes are asked, and where nobody is."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from chainwarden.addresses import Resolver, node_refusal, refusal
from chainwarden.errors import EndpointError
from ingest.dial import AddressRefused, checked, connected
from ingest.endpoint import Call, Endpoint
from ingest.heads import DoorbellConfig, HeadDoorbell
from tests.command import wait_for
from tests.rigs.addresses import METADATA, OWN, PUBLIC, REFUSED
from tests.rigs.liar import Answer, Liar, Recording


def host_of(text: str) -> str:
    """An address as it stands in a URL."""
    return f"[{text}]" if ":" in text else text


def asked(url: str, resolver: Resolver | None = None, times: int = 1) -> list[str]:
    """What becomes of asking an endpoint for its chain, each time over a new connection."""

    async def ask() -> list[str]:
        endpoint = Endpoint(url) if resolver is None else Endpoint(url, resolver=resolver)
        said = []
        for _ in range(times):
            try:
                said.append(bytes(await endpoint.call(Call("eth_chainId"))).decode())
            except EndpointError as error:
                said.append(str(error))
            await endpoint.close()
        return said

    return asyncio.run(ask())


@pytest.fixture
def recording() -> Recording:
    """One block."""
    made = Recording()
    made.grow(1)
    return made


@pytest.mark.parametrize("text", sorted(set(REFUSED) - set(OWN)))
def test_nodes_are_where_they_can_be(text: str) -> None:
    """Whatever is neither public nor of one's own networks is refused; so are metadata services."""
    address = ipaddress.ip_address(text)
    own = any(
        address.version == network.version and address in network
        for network in map(
            ipaddress.ip_network,
            ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
             "fc00::/7"),
        )
    )  # fmt: skip
    assert (node_refusal(address) is None) == (own and text not in METADATA)
    assert refusal(address)


@pytest.mark.parametrize("text", [*PUBLIC, *OWN])
def test_public_and_own_addresses_pass(text: str) -> None:
    """Every public control, loopback, the private networks, and the neighbours of what is not."""
    assert node_refusal(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("host", METADATA)
def test_no_spelling_of_a_metadata_service_is_asked(host: str) -> None:
    """Neither as an endpoint nor as a WebSocket: refused before anything is sent."""
    (said,) = asked(f"http://{host_of(host)}/latest/meta-data/")
    assert "an address that is refused" in said
    with pytest.raises(AddressRefused):
        connected(host, 80, 1.0)


def test_one_refused_address_refuses_the_name() -> None:
    """Whichever place it has in the answer."""
    answers = [["127.0.0.1", "169.254.169.254"], ["fe80::1", "1.1.1.1"], ["224.0.0.1"]]
    for _ in range(len(answers)):
        with pytest.raises(AddressRefused):
            checked("node.example", 80, lambda _host, _port: answers.pop())


def test_a_name_that_changes_its_mind_is_refused(recording: Recording) -> None:
    """What was checked is what is dialled; asked anew, it is checked anew (rebinding)."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]])
    with Liar(recording) as liar:
        port = liar.url.rpartition(":")[2]
        said = asked(f"http://node.example:{port}", lambda _host, _port: next(answers), times=3)
        assert said[0] == said[2] == '"0x1"'
        assert "refused" in said[1]
        assert liar.headers[0]["host"] == f"node.example:{port}"
        assert len(liar.posts) == 2


def test_the_next_checked_address_is_tried(recording: Recording) -> None:
    """A name whose first address does not answer is reached at its second."""
    with Liar(recording) as liar:
        port = int(liar.url.rpartition(":")[2])
        both = ["127.0.0.9", "127.0.0.1"]
        assert asked(f"http://node.example:{port}", lambda _h, _p: both) == ['"0x1"']
        with closing(connected("node.example", port, 2.0, lambda _h, _p: both)) as found:
            assert found.getpeername()[0] == "127.0.0.1"
    assert asked(f"http://node.example:{port}", lambda _h, _p: both) == [
        f"http://node.example:{port}: cannot connect"
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(recording: Recording, status: int) -> None:
    """An endpoint that sends elsewhere is a failed endpoint; nobody goes there."""
    with Liar(recording) as elsewhere, Liar(recording) as liar:
        headers = {"location": f"{elsewhere.url}/"}
        liar.intercept = lambda _: Answer(b"", status, headers)
        assert asked(liar.url) == [f"{liar.url}: status {status}"]
        assert elsewhere.posts == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["ws://127.0.0.1:{port}/", "ws://[::1", "//", "http://127.0.0.1:{port}/", "\x7f"]
)
def test_the_doorbell_follows_no_redirect(status: int, location: str) -> None:
    """It tries again where it was told to, and goes on for as long as it is open."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.05)
        target = location.format(port=trap.getsockname()[1])
        with redirecting(status, target) as (url, came):
            config = DoorbellConfig(pause_seconds=0.01, longest_pause_seconds=0.01)
            with HeadDoorbell(url, config) as bell:
                wait_for("a third attempt", lambda: len(came) >= 3, seconds=10)
                assert bell.connections == 0
            with pytest.raises(TimeoutError):
                trap.accept()


@contextmanager
def redirecting(status: int, target: str) -> Iterator[tuple[str, list[str]]]:
    """A WebSocket server that sends everybody elsewhere; its URL, and the paths asked for."""
    asked_for: list[str] = []

    def send_away(connection: ServerConnection, request: Request) -> Response:
        asked_for.append(request.path)
        response = connection.respond(HTTPStatus(status), "")
        response.headers["Location"] = target
        return response

    with serve(lambda _: None, "127.0.0.1", 0, process_request=send_away) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}", asked_for
        finally:
            server.shutdown()
            thread.join()

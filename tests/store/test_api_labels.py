"""Labels over the API: given, listed and taken back, in a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden.schema import ETHEREUM, Cursor, Label
from store import label_answers
from store.ledger import Commit, InForce, Ledger, ListNote
from tests.store.asking import LABELS, NOW, OTHER, Client, fill, serving
from tests.store.made import WALLET, position


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own for one test, with a receiver."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Client]:
    """Asks a server on loopback without a token, over the test's own ledger."""
    with serving(ledger) as server:
        yield Client(server)


def test_labels_are_set_listed_and_withdrawn(client: Client, ledger: Ledger) -> None:
    """A POST is in the ledger with note and alert; saying it again replaces it; DELETE ends it."""
    one = client.ids("limit=1")[0]
    body = {
        "address": "0x" + OTHER.hex(), "label": " Phishing ", "author": "ana",
        "note": "victim\nreport ☠", "from_alert": one,
    }  # fmt: skip
    assert client.ask(LABELS, "POST", body)[0] == 201
    status, done, _ = client.ask(LABELS, "POST", {**body, "note": "second"})
    assert (status, done["label"], done["status"]) == (200, "phishing", "labelled")
    found = ledger.alert(one)
    assert found is not None
    since = found.block_timestamp
    expected = Label(OTHER, "phishing", "analyst", since, None, "ethereum", "ana", "second", one)
    assert ledger.labels() == [expected]
    (listed,) = client.get(f"{LABELS}?address=0x{OTHER.hex()}")["labels"]
    assert listed["alert_id"] == one
    target = f"{LABELS}?address=0x{OTHER.hex()}&label=phishing"
    assert client.ask(target, "DELETE")[0] == 200
    assert ledger.labels() == []
    status, said, _ = client.ask(target, "DELETE")
    assert status == 404
    assert "no label 'phishing' of an analyst" in said["error"]


def test_a_label_holds_when_and_where_it_says(client: Client, ledger: Ledger) -> None:
    """From the newest block on, or as given; on the ledger's chain, or on every one."""
    body = {"address": "0x" + OTHER.hex(), "label": "scam"}
    client.ask(LABELS, "POST", body)
    client.ask(LABELS, "POST", {**body, "label": "mixer", "valid_from": 5, "valid_to": 9})
    client.ask(LABELS, "POST", {**body, "label": "bot", "every_chain": True})
    assert ledger.labels() == [
        Label(OTHER, "scam", "analyst", NOW, None, "ethereum"),
        Label(OTHER, "mixer", "analyst", 5, 9, "ethereum"),
        Label(OTHER, "bot", "analyst", NOW, None, None),
    ]
    wrong = client.ask(LABELS, "POST", {**body, "valid_to": 3})
    assert wrong[0] == 422
    assert "before it begins" in wrong[1]["error"]
    assert client.ask(f"{LABELS}?address={body['address']}&label=bot", "DELETE")[0] == 200


def test_the_trail_of_labels_can_be_asked(client: Client, ledger: Ledger) -> None:
    """Who gave and took back what, when and why, of one wallet or of all, with the lists."""
    target = f"{LABELS}?address=0x{OTHER.hex()}&label=scam"
    body = {"address": "0x" + OTHER.hex(), "label": "scam", "author": "ana", "note": "report 7"}
    client.ask(LABELS, "POST", body)
    client.ask(f"{target}&author=bob&note=mistaken", "DELETE")
    note = ListNote("l.csv", "", "MIT", None, 0, None, "d1", "ofac", 3, 1, 3, 0, 5.0, 7)
    ledger.commit(Commit(Cursor(position(7)), labels=[InForce(7, [1], [note])]))
    found = client.get(f"{LABELS}/history")
    said = [(c["act"], c["by"], c["why"], c["in_force_from"]) for c in found["changes"]]
    assert said == [("labelled", "ana", "report 7", 7), ("withdrawn", "bob", "mistaken", None)]
    (listed,) = found["lists"]
    assert (listed["path"], listed["licence"], listed["number"]) == ("l.csv", "MIT", 7)
    mine = client.get(f"{LABELS}/history?address=0x{WALLET.hex()}&limit=5")
    assert mine == {"changes": [], "lists": []}


def test_an_analyst_withdraws_no_lists_label(client: Client, ledger: Ledger) -> None:
    """Only labels of source analyst can be taken back."""
    ledger.add_label(Label(OTHER, "sanctioned", "ofac", chain="ethereum"))
    target = f"{LABELS}?address=0x{OTHER.hex()}&label=sanctioned"
    assert client.ask(target, "DELETE")[0] == 404
    assert len(ledger.labels()) == 1


def test_labels_come_in_pages(client: Client, ledger: Ledger) -> None:
    """Following ``next`` gives every label that holds once, oldest first."""
    made = [Label(bytes([n]) * 20, "exchange", "list") for n in range(1, 8)]
    ledger.add_labels(made)
    ledger.withdraw_label(made.pop(3))
    found: list[str] = []
    target: str | None = f"{LABELS}?limit=2"
    while target is not None:
        page = client.get(target)
        assert len(page["labels"]) <= 2
        found += [one["address"] for one in page["labels"]]
        target = page["next"]
    assert found == ["0x" + label.address.hex() for label in made]


def test_no_more_labels_than_the_bound(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound a label is refused; below it, kept."""
    monkeypatch.setattr(label_answers, "MAX_LABELS", 1)
    body = {"address": "0x" + OTHER.hex(), "label": "phishing"}
    assert client.ask(LABELS, "POST", body)[0] == 201
    assert client.ask(LABELS, "POST", {**body, "label": "benign"})[0] == 507
    assert len(ledger.labels()) == 1

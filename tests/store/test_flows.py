"""A wallet's flows, page by page out of real files, beside a plain walk over every row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import StoreError
from chainwarden.explain import WalletPages
from chainwarden.explain.reading import TRIES
from chainwarden.explain.standing import share_below
from chainwarden.explain.wallets import whole_units
from chainwarden.schema import ETHEREUM, FLOWS, Cursor, FlowKind, Label, LakeFile, hex_of
from detect.features import FLOW_FEATURES
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook
from store.lake import Lake
from store.lake_flows import SCORES, FlowFilter, FlowPage, FlowPlace, find_flows
from store.ledger import Commit, Ledger
from tests.store.asking import Client, serving
from tests.store.made import GENESIS_TIME, blocks, hash_of, position

MINE, *OTHERS = (bytes([n]) * 20 for n in range(1, 6))
DAY = 86_400
LAST = 24
"""Blocks in the lake, over three days: files of one and of several, one of two row groups."""


def flows_of(number: int) -> list[dict[str, Any]]:
    """Ten flows of a block in the order of the chain: native, internal, logs, withdrawals."""
    rows: list[dict[str, Any]] = []
    for place in range(10):
        key = (
            (0, 0, 0), (0, -1, 0), (0, -2, 0), (0, 1, 0), (0, 1, 1),
            (1, 0, 0), (1, 3, 0), (2, 0, 0), (None, 0, 0), (None, 1, 0),
        )[place]  # fmt: skip
        chance = number * 10 + place
        sender, receiver = [MINE, *OTHERS][chance * 7 % 5], [MINE, *OTHERS][chance * 11 % 3]
        token = (None, None, None, USDT, OTHERS[3], None, USDC, None, None, None)[place]
        amount = 0 if chance % 13 == 0 else chance * 10**15
        rows.append(
            {
                "block_number": number,
                "block_timestamp": GENESIS_TIME + number * DAY // 8,
                "transaction_hash": None if key[0] is None else hash_of("tx", number, key[0]),
                "transaction_index": key[0],
                "ordinal": key[1],
                "batch_index": key[2],
                "kind": int(
                    FlowKind.WITHDRAWAL if key[0] is None
                    else FlowKind.INTERNAL if key[1] < 0
                    else FlowKind.NATIVE if token is None
                    else FlowKind.ERC20
                ),
                "token_address": token,
                "from_address": sender,
                "to_address": receiver,
                "value": amount.to_bytes(32, "big"),
                "value_f64": float(amount),
                "status": 0 if chance % 17 == 0 else 1,
            }
        )  # fmt: skip
    return rows


def features_of(table: pa.Table) -> pa.Table:
    """A row for each flow; its scores say which one it is."""
    count = table.num_rows
    number = table["block_number"].to_pylist()
    found = table.select(["block_number", "transaction_index", "ordinal", "batch_index"])
    for place, name in enumerate(SCORES):
        values = [None if (n + place) % 5 == 0 else n + place / 10 for n in number]
        found = found.append_column(name, pa.array(values, pa.float64()))
    for name in FLOW_FEATURES:
        found = found.append_column(name, pa.array([0.5] * count, pa.float32()))
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Lake]]:
    """A ledger and a lake of ``LAST`` blocks."""
    folder = tmp_path_factory.mktemp("flows")
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        lake = Lake(folder / "lake", ETHEREUM)
        for first, runs in ((1, [1]), (2, [1]), (3, [6]), (9, [4, 4]), (17, [1]), (18, [7])):
            writer, at = lake.writer(), first
            for count in runs:  # each becomes a row group of its own
                rows = [row for n in range(at, at + count) for row in flows_of(n)]
                batch = blocks(at, count, flows=0)
                table = pa.Table.from_pylist(rows, schema=FLOWS)
                batch = replace(batch, flows=table)
                writer.append(batch, None if first == 2 else features_of(table))
                at += count
            cursor = Cursor(position(at - 1), {}, at - 1)
            ledger.commit(Commit(cursor, files_added=writer.finish()))
        yield ledger, lake


def plainly(wanted: FlowFilter) -> list[dict[str, Any]]:
    """Every flow that is wanted, the newest first, by a walk over all of them."""
    found = []
    for row in (row for number in range(1, LAST + 1) for row in flows_of(number)):
        sender, receiver = row["from_address"], row["to_address"]
        sent, got = sender == wanted.address, receiver == wanted.address
        if wanted.counterparty is not None:
            sent = sent and receiver == wanted.counterparty
            got = got and sender == wanted.counterparty
        if not {"any": sent or got, "in": got, "out": sent}[wanted.direction]:
            continue
        if row["status"] == 0 or (row["kind"] == FlowKind.NATIVE and row["value_f64"] == 0):
            continue
        if wanted.token is not None and (row["token_address"] or b"") != wanted.token:
            continue
        if wanted.since is not None and row["block_timestamp"] < wanted.since:
            continue
        if wanted.until is not None and row["block_timestamp"] >= wanted.until:
            continue
        if not (wanted.first_block or 0) <= row["block_number"] <= (wanted.last_block or 99):
            continue
        found.append(row)
    return found[::-1]


def key_of(row: dict[str, Any]) -> FlowPlace:
    """What tells a flow from every other."""
    names = ("block_number", "transaction_index", "ordinal", "batch_index")
    return FlowPlace(*(row[name] for name in names))


def pages(results: tuple[Ledger, Lake], wanted: FlowFilter, hurry: bool) -> list[FlowPage]:
    """Every page, to the end; in a ``hurry`` the time is over whenever it is looked at."""
    ledger, lake = results
    found: list[FlowPage] = []
    manifest = ledger.files()
    while True:
        found.append(find_flows(lake, manifest, wanted, lambda: hurry))
        if found[-1].after is None:
            return found
        assert len(found) < 500
        wanted = replace(wanted, after=FlowPlace.read(str(found[-1].after)))


times = st.none() | st.integers(GENESIS_TIME, GENESIS_TIME + 4 * DAY)
numbers = st.none() | st.integers(0, LAST + 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    wanted=st.builds(
        FlowFilter,
        address=st.sampled_from([MINE, *OTHERS]),
        direction=st.sampled_from(["in", "out", "any"]),
        token=st.none() | st.sampled_from([b"", USDT, USDC, OTHERS[3]]),
        counterparty=st.none() | st.sampled_from([MINE, *OTHERS]),
        since=times,
        until=times,
        first_block=numbers,
        last_block=st.none() | st.integers(1, LAST + 2),
        limit=st.sampled_from([1, 2, 3, 7, 100]),
    ),
    hurry=st.booleans(),
)
def test_pages_join_to_all_that_is_wanted(
    results: tuple[Ledger, Lake], wanted: FlowFilter, hurry: bool
) -> None:
    """Whatever the filter, the size of a page and the time there was: each flow once, in order."""
    found = pages(results, wanted, hurry)
    expected = [key_of(row) for row in plainly(wanted)]
    assert [key_of(row) for page in found for row in page.rows] == expected
    assert all(len(page.rows) <= wanted.limit for page in found)
    if not hurry:
        assert all(len(page.rows) == wanted.limit for page in found[:-1])


def test_scores_are_those_of_the_flow_itself(results: tuple[Ledger, Lake]) -> None:
    """Each row has the five scores that stand at its place; where none were kept, none."""
    ledger, lake = results
    page = find_flows(lake, ledger.files(), FlowFilter(MINE, limit=500), lambda: False)
    assert len(page.rows) > 50
    for row in page.rows:
        number = row["block_number"]
        for place, name in enumerate(SCORES):
            missing = number == 2 or (number + place) % 5 == 0
            assert row[name] == (None if missing else pytest.approx(number + place / 10))


def test_what_features_of_other_flows_say_is_not_taken(tmp_path: Path) -> None:
    """Features whose keys are not the flows' own are no scores of theirs."""
    lake = Lake(tmp_path / "lake", ETHEREUM)
    table = pa.Table.from_pylist(flows_of(1), schema=FLOWS)
    batch = blocks(1, 1, flows=0)
    batch = replace(batch, flows=table)
    files = lake.write(batch, features_of(table).take(list(range(9, -1, -1))))
    page = find_flows(lake, files, FlowFilter(MINE), lambda: False)
    assert page.rows
    assert all(row[name] is None for row in page.rows for name in SCORES)


def test_a_share_of_scores_is_of_every_file_that_has_them(tmp_path: Path) -> None:
    """Files without scores do not count; one that is gone is an error, so it is asked again."""
    lake = Lake(tmp_path / "lake", ETHEREUM)
    files = list[LakeFile]()
    for number in (1, 2, 3):
        table = pa.Table.from_pylist(flows_of(number), schema=FLOWS)
        features = features_of(table)
        if number == 2:
            features = features.drop_columns(["from_score"])
        files += lake.write(replace(blocks(number, 1, flows=0), flows=table), features)
    assert share_below(lake, files, 3.05) == pytest.approx(2 / 3)  # of 1.1, 1.2 and 3.1
    newest = next(one for one in files if one.dataset == "features" and one.last.number == 3)
    (lake.folder / newest.path).unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        share_below(lake, files, 3.05)


# --- as they are answered ----------------------------------------------------------------------


@pytest.fixture
def client(results: tuple[Ledger, Lake]) -> Iterator[Client]:
    """Asks a server that reads the lake."""
    ledger, lake = results
    listed = [Label(OTHERS[0], word, "list") for word in ("exchange", "hot")]
    labels = LabelBook([*listed, Label(OTHERS[1], "dust", "analyst")])  # withdrawn, in force still
    ledger.add_label(Label(OTHERS[1], "scam", "analyst", author="ana"))  # not in force yet
    with serving(ledger, wallets=WalletPages(ledger, lake, labels)) as server:
        yield Client(server)


def test_a_page_of_flows_is_flat_and_exact(client: Client) -> None:
    """Every column of a row, with token, counterparty, its labels and scores where known."""
    found = client.get(f"/api/v1/wallets/0x{MINE.hex()}/flows?limit=1000")
    expected = plainly(FlowFilter(MINE))
    assert (found["address"], found["next"], found["searched_to"]) == ("0x" + MINE.hex(), None, 1)
    assert len(found["flows"]) == len(expected)
    symbols = {None: ("ETH", 18), USDT: ("USDT", 6), USDC: ("USDC", 6)}
    for told, row in zip(found["flows"], expected, strict=True):
        out = row["from_address"] == MINE
        other = row["to_address" if out else "from_address"]
        amount = int.from_bytes(row["value"], "big")
        symbol, decimals = symbols.get(row["token_address"], (None, 0))
        number, side = row["block_number"], "to" if out else "from"
        score, risk = (
            None if number == 2 or (number + at) % 5 == 0 else pytest.approx(number + at / 10)
            for at in (SCORES.index(f"{side}_score"), SCORES.index(f"{side}_risk"))
        )
        assert told == {
            "block_number": number,
            "block_timestamp": row["block_timestamp"],
            "time": row["block_timestamp"] * 1000,
            "transaction": hex_of(row["transaction_hash"]),
            "transaction_index": row["transaction_index"],
            "ordinal": row["ordinal"],
            "kind": FlowKind(row["kind"]).name.lower(),
            "from": hex_of(row["from_address"]),
            "to": hex_of(row["to_address"]),
            "token": hex_of(row["token_address"]),
            "symbol": symbol,
            "token_id": None,
            "amount": str(amount),
            "value": None if symbol is None else whole_units(amount, decimals),
            "direction": "self" if other == MINE else "out" if out else "in",
            "counterparty": hex_of(other),
            "counterparty_label": {OTHERS[0]: "exchange, hot", OTHERS[1]: "scam"}.get(other),
            "counterparty_score": score,
            "counterparty_risk": risk,
            "score": None if number == 2 or number % 5 == 0 else number,
        }
    assert {one["direction"] for one in found["flows"]} == {"in", "out", "self"}
    assert {one["kind"] for one in found["flows"]} == {"native", "internal", "erc20", "withdrawal"}


def test_next_keeps_the_filter_and_ends(client: Client) -> None:
    """Following next over HTTP gives every flow of the filter once."""
    target: str | None = (
        f"/api/v1/wallets/0x{MINE.hex()}/flows?limit=7&direction=out&token=coin&first_block=3"
    )
    found = []
    while target is not None:
        page = client.get(target)
        found += page["flows"]
        target = page["next"]
        assert target is None or "direction=out&token=coin&first_block=3&after=" in target
    wanted = FlowFilter(MINE, "out", b"", first_block=3)
    assert [one["amount"] for one in found] == [
        str(int.from_bytes(row["value"], "big")) for row in plainly(wanted)
    ]


def test_a_wallet_has_its_scores_features_and_history(client: Client) -> None:
    """The newest of each with the block they were made at; the history is over all of the lake."""
    found = client.get(f"/api/v1/wallets/0x{OTHERS[0].hex()}")
    rows = plainly(FlowFilter(OTHERS[0]))
    history = found["history"]
    assert (history["flows"], history["whole"]) == (len(rows), True)
    assert history["last_block"] == rows[0]["block_number"]
    assert found["features"]["block_number"] == rows[0]["block_number"]
    told = found["features"]["values"]
    assert [(one["feature"], one["value"]) for one in told] == [(f, 0.5) for f in FLOW_FEATURES]
    assert all(one["meaning"] for one in told)
    for name, places in (("score", (1, 2)), ("risk", (3, 4))):
        got = found[name]
        assert round(10 * (got["value"] - got["block_number"])) in places
    assert found["verdict"] == "good"
    unknown = client.get("/api/v1/wallets/0x" + "ab" * 20)
    told = {name: unknown[name] for name in ("score", "risk", "features", "history", "verdict")}
    assert told.pop("verdict") == "unknown"
    assert set(told.values()) == {None}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("direction=up", "in, out, any"),
        ("token=ETH", "no address"),
        ("counterparty=0x12", "no address"),
        ("after=x", "follow a page's next"),
        ("after=5.w.1", "follow a page's next"),
        ("after=٣", "follow a page's next"),
        ("limit=1001", "1 to 1000"),
        ("since=soon", "no time"),
        ("severity=high", "known: after, counterparty"),
    ],
)
def test_what_is_wrong_about_flows_is_said(client: Client, query: str, says: str) -> None:
    """422, and what would be right."""
    status, body, _ = client.ask(f"/api/v1/wallets/0x{MINE.hex()}/flows?{quote(query, safe='=')}")
    assert status == 422
    assert says in f"{body['error']} {body['hint']}"


def test_without_a_lake_there_is_no_such_page(results: tuple[Ledger, Lake]) -> None:
    """404 from a server that reads none."""
    with serving(results[0]) as server:
        assert Client(server).ask(f"/api/v1/wallets/0x{MINE.hex()}/flows")[0] == 404


def test_files_that_are_merged_meanwhile_are_looked_for_anew(tmp_path: Path) -> None:
    """A file that is gone when it is opened is read from the manifest of then; gone for good is an
    error that says what to do."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        lake = _Merging(tmp_path / "lake", ETHEREUM)
        for number in (1, 2):
            table = pa.Table.from_pylist(flows_of(number), schema=FLOWS)
            batch = blocks(number, 1, flows=0)
            batch = replace(batch, flows=table)
            files = lake.write(batch, features_of(table))
            ledger.commit(Commit(Cursor(position(number), {}, number), files_added=files))
        pages = WalletPages(ledger, lake, LabelBook())
        lake.ledger = ledger
        found = pages.flows(FlowFilter(MINE))
        expected = plainly(FlowFilter(MINE, last_block=2))
        assert [one["amount"] for one in found["flows"]] == [
            str(int.from_bytes(row["value"], "big")) for row in expected
        ]
        assert lake.merged
        for file in ledger.files("flows"):
            (lake.folder / file.path).unlink()
        with pytest.raises(StoreError, match="rebuild"):
            pages.flows(FlowFilter(MINE))
        assert lake.opens >= TRIES


class _Merging(Lake):
    """A lake whose files are merged when the first of them is opened."""

    ledger: Ledger | None = None
    merged = False
    opens = 0

    def opened(self, file: Any) -> Any:
        self.opens += 1
        if self.ledger is not None and not self.merged:
            self.merged = True
            added, removed = self.compact(self.ledger.files())
            cursor = Cursor(position(2), {}, 2)
            self.ledger.commit(Commit(cursor, files_added=added, files_removed=removed))
            self.remove(removed)
        return super().opened(file)

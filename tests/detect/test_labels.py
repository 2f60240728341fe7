"""Labels: what was known about a wallet at a block's time."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import LabelError
from chainwarden.schema import Label
from detect import label_files
from detect.known.mixers import TORNADO, TORNADO_DELISTED, TORNADO_LISTED
from detect.known.safes import SAFE_LIBRARIES
from detect.known.services import SERVICE_ADDRESSES
from detect.label_files import ListInfo, read_list_file
from detect.label_lists import BadEntry, checksummed, parse_address, parse_time
from detect.labels import LabelBook, builtin_labels
from tests.detect.build import at, wallet

A, B = wallet(1), wallet(2)
POOL = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
EIP_55 = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


def words(book: LabelBook, address: bytes, time: int, chain: str | None = None) -> list[str]:
    """The words in force, sorted."""
    return sorted(label.label for label in book.labels_at(address, time, chain))


def test_a_label_holds_from_its_first_to_before_its_last_second() -> None:
    """Validity is half open: valid_from counts, valid_to does not."""
    book = LabelBook([Label(A, "phishing", "x", 100, 200)])
    assert [words(book, A, t) for t in (99, 100, 199, 200)] == [[], ["phishing"], ["phishing"], []]
    assert words(book, B, 150) == []


def test_a_label_of_another_chain_does_not_count() -> None:
    """A label without a chain holds everywhere, one with a chain only there."""
    book = LabelBook([Label(A, "scam", "x", chain="base"), Label(A, "exchange", "x")])
    assert words(book, A, 0, "ethereum") == ["exchange"]
    assert words(book, A, 0, "base") == ["exchange", "scam"]
    assert book.addresses_with(["scam"], 0, 1, "ethereum").to_pylist() == []
    assert book.addresses_with(["scam"], 0, 1, "base").to_pylist() == [A]


def test_saying_it_again_replaces_it() -> None:
    """One label is one address, word, source, chain and start; its end can be changed."""
    book = LabelBook(
        [Label(A, "scam", "x", 5), Label(A, "scam", "x", 5, 9), Label(A, "scam", "y", 5)]
    )
    assert len(book) == 2
    assert len(book.labels_at(A, 10)) == 1


def test_withdrawing_ends_a_label_or_unsays_it() -> None:
    """With a time the label stays true of the past; without it is gone; others stay."""
    book = LabelBook([Label(A, "scam", "x"), Label(A, "scam", "y"), Label(A, "exchange", "x")])
    assert book.withdraw(A, "scam", "x", at=50) == 1
    assert (words(book, A, 49), words(book, A, 50)) == (
        ["exchange", "scam", "scam"],
        ["exchange", "scam"],
    )
    assert book.withdraw(A, "scam") == 2
    assert words(book, A, 49) == ["exchange"]
    assert book.withdraw(B, "scam") == 0
    assert book.withdraw(A, "exchange", at=0) == 1
    assert (len(book), list(book)) == (0, [])


@pytest.mark.parametrize(
    "label",
    [
        Label(b"short", "scam", "x"),
        Label(A, "", "x"),
        Label(A, "Scam", "x"),
        Label(A, " scam", "x"),
        Label(A, "scam", "x", 10, 5),
    ],
)
def test_a_malformed_label_is_refused(label: Label) -> None:
    """Wrong addresses, words and periods raise LabelError."""
    with pytest.raises(LabelError):
        LabelBook().add(label)


def test_the_book_is_bounded() -> None:
    """A full book takes no more, but still replaces."""
    book = LabelBook([Label(A, "scam", "x"), Label(B, "scam", "x")], capacity=2)
    with pytest.raises(LabelError, match="full"):
        book.add(Label(wallet(3), "scam", "x"))
    book.add(Label(A, "scam", "x", valid_to=7))
    assert len(book) == 2


LABELS = st.lists(
    st.builds(
        Label,
        address=st.sampled_from([wallet(i) for i in range(6)]),
        label=st.sampled_from(["scam", "exchange", "mixer"]),
        source=st.just("x"),
        valid_from=st.integers(0, 20),
        valid_to=st.none() | st.integers(20, 40),
        chain=st.sampled_from([None, "ethereum", "base"]),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(LABELS, st.integers(0, 45), st.integers(0, 10))
def test_the_index_agrees_with_asking_one_by_one(
    labels: list[Label], start: int, span: int
) -> None:
    """``addresses_with`` finds exactly who has a word at some second of the period, sorted."""
    book = LabelBook(labels)
    found = book.addresses_with(["scam", "mixer"], start, start + span, "ethereum").to_pylist()
    expected = [
        address
        for address in sorted({label.address for label in labels})
        if any(
            label.label in ("scam", "mixer")
            for time in range(start, start + span + 1)
            for label in book.labels_at(address, time, "ethereum")
        )
    ]
    assert found == expected


def test_services_are_known_and_labelled_unless_called_bad() -> None:
    """A service is known by address or by word; a bad word outweighs both, while it holds."""
    uniswap = at("0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D")
    book = LabelBook([Label(A, "exchange", "x"), Label(A, "sanctioned", "ofac", 100, 200)])
    assert book.is_service(uniswap, 0)
    assert [book.is_service(A, t) for t in (99, 100, 200)] == [True, False, True]
    assert not book.is_service(B, 0)


def test_tornado_cash_is_sanctioned_for_exactly_its_period() -> None:
    """Listed on 2022-08-08, delisted on 2025-03-21; a mixer throughout."""
    book = LabelBook(builtin_labels())
    assert (
        parse_time("2022-08-08"),
        parse_time("2025-03-21"),
    ) == (TORNADO_LISTED, TORNADO_DELISTED)
    assert words(book, POOL, TORNADO_LISTED - 1, "ethereum") == ["mixer"]
    assert words(book, POOL, TORNADO_LISTED, "ethereum") == ["mixer", "sanctioned"]
    assert words(book, POOL, TORNADO_DELISTED, "ethereum") == ["mixer"]


# --- reading lists


@pytest.mark.parametrize("text", EIP_55)
def test_the_checksums_of_eip_55_are_right(text: str) -> None:
    """The EIP's own examples pass, in mixed, lower and upper case; one letter off fails."""
    assert checksummed(text[2:]) == text[2:]
    assert parse_address(text) == at(text)
    assert parse_address(text.lower()) == parse_address("0x" + text[2:].upper()) == at(text)
    place = next(i for i in range(2, 42) if text[i].isalpha())
    with pytest.raises(BadEntry, match="checksum"):
        parse_address(text[:place] + text[place].swapcase() + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "0x", "0x12", "12" * 20, "0x" + "g" * 40, "0x" + "1" * 41])
def test_what_is_no_address_is_refused(text: str) -> None:
    """A missing prefix, a wrong length, digits that are none."""
    with pytest.raises(BadEntry):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1659916800", 1_659_916_800),
        ("2022-08-08", 1_659_916_800),
        ("2022-08-08T01:00:00+01:00", 1_659_916_800),
        ("2022-08-08T00:00:00Z", 1_659_916_800),
        (" ", None),
    ],
)
def test_times_are_seconds_or_iso(text: str, seconds: int | None) -> None:
    """Unix seconds and ISO 8601, UTC where no zone is said."""
    assert parse_time(text) == seconds


def test_our_own_csv_loads_and_reports_by_line(tmp_path: Path) -> None:
    """Good lines load, bad ones are reported with line and reason, none is fatal."""
    path = tmp_path / "list.csv"
    path.write_text(
        "address,label,source,valid_from,valid_to,chain,author,note\n"
        f'0x{A.hex()},Phishing,me,2020-01-01,,ethereum,ana,"a, b"\n'
        f"0x{B.hex()},,me,,,,,\n"
        "0x12,scam,me,,,,,\n"
        f"0x{B.hex()},scam,me,200,100,,,\n"
        f"0x{B.hex()},scam,me,yesterday,,,,\n"
        f"0x{B.hex()},scam,,,1700000000,,,\n"
    )
    book = LabelBook()
    report = book.load(path, source="list-of-mine")
    assert (report.format, report.loaded) == ("chainwarden", 2)
    assert [r.line for r in report.rejected] == [3, 4, 5, 6]
    assert ["empty" in r.reason or "40 hex" in r.reason for r in report.rejected[:2]] == [
        True,
        True,
    ]
    first = book.labels_of(A)[0]
    assert first == Label(A, "phishing", "me", 1_577_836_800, None, "ethereum", "ana", "a, b")
    assert book.labels_of(B)[0].source == "list-of-mine"
    assert book.labels_of(B)[0].valid_to == 1_700_000_000


def test_known_lists_are_told_apart_by_content(tmp_path: Path) -> None:
    """OFAC, ethereum-lists, etherscan-labels and Forta's two sets need no name."""
    a, b = "0x" + A.hex(), "0x" + B.hex()
    texts = {
        "ofac": json.dumps([a, b]),
        "ethereum-lists-darklist": json.dumps(
            [{"address": a, "comment": "fake", "date": "7/18/17"}]
        ),
        "etherscan-labels": json.dumps({a: {"name": "Binance 7", "labels": ["binance", "Mining"]}}),
        "forta-phishing": f"address,etherscan_tag,etherscan_labels\n{a},Fake,phish-hack\n",
        "forta-malicious-contracts": (
            "contract_address,contract_tag,contract_creator,contract_creation_tx\n"
            f"{a},Exploiter,{b},0x00\n"
        ),
    }
    expected = {
        "ofac": ["sanctioned"],
        "ethereum-lists-darklist": ["scam"],
        "etherscan-labels": ["binance", "exchange", "mining"],
        "forta-phishing": ["phishing"],
        "forta-malicious-contracts": ["malicious"],
    }
    for number, (kind, text) in enumerate(texts.items()):
        path = tmp_path / f"{number}.txt"
        path.write_text(text)
        book = LabelBook()
        report = book.load(path)
        assert (report.format, report.rejected) == (kind, ())
        assert words(book, A, 2**40) == expected[kind]
    assert LabelBook().load(tmp_path / "1.txt").loaded == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xfe\x00",
        b"[",
        b"[]",
        b"{}",
        b"[1, 2]",
        b'{"a": 1}',
        b'[{"address": "0x"}]',
        b"[" * 100_000,
        b"name,colour\nx,y\n",
        b"\x00" * 100,
    ],
)
def test_a_file_that_is_no_list_is_a_label_error(tmp_path: Path, content: bytes) -> None:
    """Whatever is no label list raises LabelError and loads nothing."""
    path = tmp_path / "list"
    path.write_bytes(content)
    book = LabelBook()
    with pytest.raises(LabelError):
        book.load(path)
    assert len(book) == 0


def test_a_missing_file_is_a_label_error(tmp_path: Path) -> None:
    """What cannot be read is said so."""
    with pytest.raises(LabelError, match="cannot be read"):
        LabelBook().load(tmp_path / "none.csv")


@settings(deadline=None, max_examples=200)
@given(
    content=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace"))
)
def test_no_content_escapes(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any bytes behind any known header are loaded, reported or refused, never anything else."""
    path = tmp_path_factory.mktemp("fuzz") / "list"
    for head in (b"", b"address,label,source\n", b"[", b'{"0x": {"labels": ['):
        path.write_bytes(head + content)
        with contextlib.suppress(LabelError):
            LabelBook().load(path)


def test_a_full_book_reports_what_did_not_fit(tmp_path: Path) -> None:
    """Lines beyond the capacity are rejected with their line, not fatal."""
    path = tmp_path / "list.csv"
    rows = "".join(f"0x{wallet(i).hex()},scam\n" for i in range(5))
    path.write_text("address,label\n" + rows)
    report = LabelBook(capacity=3).load(path)
    assert (report.loaded, [r.line for r in report.rejected]) == (3, [5, 6])


def test_our_own_addresses_are_written_with_their_checksum() -> None:
    """Every address in detect/known is spelt as EIP-55 has it."""
    import re

    modules = (Path(__file__).parents[2] / "detect" / "known").glob("*.py")
    source = "".join(module.read_text() for module in modules)
    found = re.findall(r'_at\(\s*"(0x[0-9a-fA-F]{40})"', source)
    assert len(found) > 150
    for text in found:
        assert checksummed(text[2:]) == text[2:], text
    assert not SERVICE_ADDRESSES & TORNADO
    assert not SERVICE_ADDRESSES & SAFE_LIBRARIES


# --- lists that are odd


def written(tmp_path: Path, text: str | bytes, name: str = "list.csv") -> ListInfo:
    """A list in a file."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ListInfo(path)


def test_a_list_says_by_line_what_was_odd_about_it(tmp_path: Path) -> None:
    """Mistyped, too many cells, unknown columns, duplicates, contradictions: each is told."""
    a, b = checksummed(A.hex()), "0x" + B.hex()
    place = next(i for i, c in enumerate(a) if c.isalpha())
    mistyped = "0x" + a[:place] + a[place].swapcase() + a[place + 1 :]
    info = written(
        tmp_path,
        "address,label,colour,valid_from\n"
        f"{mistyped},phishing,red,\n"
        f"0x{a},phishing,red,5,6,7\n"
        f"0x{a},phishing,red,5\n"
        f"0x{a},exchange,red,5\n"
        f"{b},scam,red,5\n"
        f"{b},SCAM,blue,5\n"
        f"{b},{'x' * 65},blue,5\n",
    )
    report = read_list_file(info).report
    assert (report.loaded, report.refused) == (3, 3)
    lines = list(report.lines())
    path = info.name
    assert lines[0] == f"{path}, line 2: the EIP-55 checksum is wrong: mistyped: {mistyped!r}"
    assert lines[1].startswith(f"{path}, line 3: more cells than the 4 columns")
    assert lines[2].startswith(f"{path}, line 8: a label has at most 64 characters")
    assert lines[3:] == [
        f"{path}: 1 labels are there more than once",
        f"{path}: 1 wallets are called bad and good: bad counts",
        f"{path}: columns that nobody knows are not read: colour",
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("address,label\n".encode("utf-16"), "UTF-16"),
        (b"address,label\n0x00,caf\xe9\n", "line 2: no label list: not UTF-8"),
        (b'[\n"0x00",\n,]', "line 3: no label list: broken JSON"),
        (b"address,label,label\n", "names label twice"),
    ],
)
def test_a_file_in_the_wrong_form_is_told_why(tmp_path: Path, data: bytes, says: str) -> None:
    """Other encodings, broken JSON and headers that name a column twice are errors with a line."""
    with pytest.raises(LabelError, match=says):
        read_list_file(written(tmp_path, data))


def test_a_list_with_a_byte_order_mark_loads(tmp_path: Path) -> None:
    """What spreadsheets put before UTF-8 is no part of the first column's name."""
    text = b"\xef\xbb\xbfaddress,label\r\n0x" + A.hex().encode() + b",scam\r\n"
    assert read_list_file(written(tmp_path, text)).report.loaded == 1


def test_what_a_list_does_not_say_its_settings_do(tmp_path: Path) -> None:
    """Source, period and chain of the settings stand in, and never against the list's own words."""
    a, b = "0x" + A.hex(), "0x" + B.hex()
    text = f"address,label,source,valid_to,chain\n{a},scam,mine,90,base\n{b},scam,,,\n"
    info = replace(
        written(tmp_path, text), source="ops", valid_from=10, valid_to=99, chain="ethereum"
    )
    assert read_list_file(info).labels == (
        Label(A, "scam", "mine", 10, 90, "base"),
        Label(B, "scam", "ops", 10, 99, "ethereum"),
    )


def test_equal_digests_are_equal_labels(tmp_path: Path) -> None:
    """The digest follows the bytes and what stands in; the licence and the place do not matter."""
    text = f"address,label\n0x{A.hex()},scam\n"
    info = written(tmp_path, text)
    digest = read_list_file(info).digest
    same = replace(written(tmp_path, text, "other.csv"), licence="MIT")
    assert read_list_file(same).digest == digest
    assert read_list_file(replace(info, valid_from=1)).digest != digest
    assert read_list_file(written(tmp_path, text + "\n")).digest != digest


def test_a_huge_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is too large is refused unread; labels and reports beyond a bound are counted."""
    monkeypatch.setattr(label_files, "MOST_LABELS", 10)
    monkeypatch.setattr(label_files, "MOST_REJECTED", 5)
    rows = "".join(f"0x{wallet(n).hex()},scam\n" for n in range(30)) + "0x12,scam\n" * 30
    info = written(tmp_path, "address,label\n" + rows)
    report = read_list_file(info).report
    assert (report.loaded, report.refused, len(report.rejected)) == (10, 50, 5)
    assert report.rejected[0].line == 12
    assert list(report.lines())[-1].endswith("45 more lines were refused")
    monkeypatch.setattr(label_files, "LARGEST_LIST", 100)
    with pytest.raises(LabelError, match="larger than"):
        read_list_file(info)


def test_hostile_text_is_one_printable_line(tmp_path: Path) -> None:
    """Notes, sources and authors are cut and cleaned: they end up on terminals."""
    text = f'address,label,source,note\n0x{A.hex()},scam,"a\x1b[31m\nb","{"n" * 9_999}"\n'
    (label,) = read_list_file(written(tmp_path, text)).labels
    assert (label.source, len(label.note)) == ("a [31m b", 200)


def test_labels_for_wallets_nobody_meets_cost_nothing_but_room() -> None:
    """A label about a wallet that never appears changes no answer about others."""
    book = LabelBook([Label(wallet(n), "sanctioned", "x") for n in range(1000)])
    assert book.labels_of(wallet(5000)) == ()
    assert len(book.addresses_with(["sanctioned"], 0, 1)) == 1000


@pytest.mark.data
def test_the_real_lists_load(shared_data: Path) -> None:
    """All five public lists load, their few mistyped entries and their duplicates are named."""
    book = LabelBook(builtin_labels())
    reports = {
        report.format: (report.loaded, len(report.rejected))
        for report in (book.load(path) for path in sorted((shared_data / "intel").iterdir()))
    }
    twice = {
        path.name: read_list_file(ListInfo(path)).report.duplicates
        for path in (shared_data / "intel").iterdir()
    }
    assert reports["ofac"] == (152, 0)
    assert (twice["forta-phishing.csv"], twice["ethereum-lists-darklist.json"]) == (519, 57)
    assert reports["forta-phishing"] == (6205, 2)
    assert reports["ethereum-lists-darklist"] == (635, 1)
    assert reports["forta-malicious-contracts"][1] == reports["etherscan-labels"][1] == 0
    assert words(book, POOL, TORNADO_DELISTED, "ethereum").count("sanctioned") == 0
    assert book.is_service(at("0x28C6c06298d514Db089934071355E5743bf21d60"), 0)

"""Lists that change and labels that are given while a chain is scored: when they take force."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from chainwarden.deployment import (
    UNDO_BLOCKS,
    label_watch,
    make_detector,
    new_book,
    new_metrics,
    open_stores,
)
from chainwarden.errors import LabelError, SettingsError
from chainwarden.labelling import Labelling, ListWatch, list_info
from chainwarden.pipeline import Pipeline
from chainwarden.promoting import make_champion
from chainwarden.recorded_labels import RecordedLabels
from chainwarden.replay import every_alert, rebuild
from chainwarden.restart import resume
from chainwarden.schema import (
    ETHEREUM,
    Alert,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    FlowKind,
    Label,
)
from chainwarden.settings import DetectSettings, LabelSettings, Settings, load_settings
from detect.labels import LabelBook, Verdict
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.simulate import Simulation, SimulationConfig
from store.label_answers import AnalystWord, set_label, withdraw_label
from store.ledger import AlertFilter, Ledger

HEADER = "address,label\n"


@pytest.fixture(scope="module")
def events() -> list[ChainEvent]:
    """The chain events of a simulated chain with forks, block by block."""
    config = SimulationConfig(seed=6, blocks=220, transactions_per_block=6.0)
    follower = ChainFollower(UNDO_BLOCKS)
    return [
        event
        for raw in Simulation(config).blocks()
        for event in follower.add(decode_blocks(ETHEREUM, [raw], [True]))
    ][:130]


@pytest.fixture(scope="module")
def busy(events: list[ChainEvent]) -> bytes:
    """A wallet that pays ether again and again, while labels are given and taken."""
    paid: dict[bytes, int] = {}
    for event in events[30:80]:
        if isinstance(event, BlocksAdded):
            flows = event.batch.flows.select(["from_address", "value_f64", "kind"])
            for flow in flows.to_pylist():
                if flow["kind"] == FlowKind.NATIVE and flow["value_f64"] > 1e17:
                    paid[flow["from_address"]] = paid.get(flow["from_address"], 0) + 1
    return max(sorted(paid), key=lambda a: paid[a])


@dataclass
class Run:
    """A pipeline over a folder, as ``chainwarden run`` has it, one event at a time."""

    folder: Path
    settings: Settings

    def __post_init__(self) -> None:
        self.stores = open_stores(self.folder, ETHEREUM, "live", ["ops"])
        self.book = new_book()
        self.detector = make_detector(self.settings, ETHEREUM, self.book).detector
        recorded = RecordedLabels(
            self.book, self.stores.ledger, self.stores.lists, partial(make_champion, self.detector)
        )
        cursor = resume(self.detector, self.stores, UNDO_BLOCKS, recorded)
        self.watch = label_watch(self.settings)
        self.labelling = Labelling(self.book, self.ledger, self.stores.lists, self.watch)
        self.metrics = new_metrics(ETHEREUM)
        self.pipeline = Pipeline(
            self.detector, self.stores, self.metrics, cursor=cursor, labelling=self.labelling
        )

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.stores.ledger

    def feed(self, events: list[ChainEvent]) -> None:
        """Handle and commit each event, as live."""
        for event in events:
            self.pipeline.handle(event)
            self.pipeline.flush()

    def polled(self) -> None:
        """Look at the lists as often as it takes to see a change."""
        self.watch.poll()
        self.watch.poll()

    def touched_wallet(self) -> bytes:
        """The subject of the first alert about a wallet."""
        return next(a.subject for a in every_alert(self.ledger) if any(a.subject))

    def touches(self, wallet: bytes) -> list[int]:
        """The blocks of the sanctions_touch alerts that concern a wallet."""
        return sorted(
            a.position.number
            for a in every_alert(self.ledger)
            if a.rule == "sanctions_touch" and wallet in (a.subject, *a.evidence.addresses)
        )


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with one label of nobody."""
    path = tmp_path / "list.csv"
    path.write_text(HEADER + f"0x{'11' * 20},mixer\n")
    return path


@pytest.fixture
def run(tmp_path: Path, listed: Path) -> Iterator[Run]:
    """A run with that list."""
    run = Run(tmp_path / "out", Settings(detect=DetectSettings(labels=[str(listed)])))
    yield run
    run.ledger.close()


def number_of(events: list[ChainEvent], start: int) -> int:
    """The number of the first block added from there on."""
    added = next(e for e in events[start:] if isinstance(e, BlocksAdded))
    return int(added.batch.numbers()[0])


def ids(alerts: list[Alert]) -> list[str]:
    """The ids of alerts, sorted."""
    return sorted(a.id for a in alerts)


def test_a_list_that_changes_takes_force_with_the_next_block(
    run: Run, events: list[ChainEvent], busy: bytes, listed: Path
) -> None:
    """Findings begin with that block, the ledger notes it, and the metrics count it."""
    run.feed(events[:50])
    assert run.touches(busy) == []
    listed.write_text(listed.read_text() + f"0x{busy.hex()},sanctioned\n")
    run.polled()
    run.feed(events[50:])
    number = number_of(events, 50)
    touched = run.touches(busy)
    assert touched
    assert touched[0] >= number
    first, second = run.ledger.label_lists()
    assert first.number == number_of(events, 0)
    assert (second.number, second.loaded, second.added, second.removed) == (number, 2, 1, 0)
    assert first.digest != second.digest
    run.labelling.observe(run.metrics)
    value = run.metrics.registry.get_sample_value
    chain = {"chain": "ethereum"}
    assert value("chainwarden_label_lists_total", {**chain, "outcome": "read"}) == 2
    assert value("chainwarden_label_changes_total", {**chain, "kind": "listed"}) == 2
    assert value("chainwarden_labels", chain) == len(run.book)


@pytest.mark.parametrize("content", [b"not a list", b"address,label\n", b"\xff\xfe", None])
def test_a_bad_file_keeps_the_labels_of_before(
    run: Run,
    events: list[ChainEvent],
    listed: Path,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No list any more, an empty one, another encoding, gone: said once, and nothing changes."""
    run.feed(events[:10])
    before = list(run.book)
    if content is None:
        listed.unlink()
    else:
        listed.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            run.polled()
    run.feed(events[10:20])
    assert list(run.book) == before
    assert len(run.ledger.label_lists()) == 1
    assert run.watch.refused == 1
    assert len([r for r in caplog.records if "stay in force" in r.getMessage()]) == 1
    listed.write_text(HEADER + f"0x{'22' * 20},scam\n")
    run.polled()
    run.feed(events[20:22])
    assert run.book.labels_of(b"\x22" * 20)
    assert not run.book.labels_of(b"\x11" * 20)


def test_a_file_that_is_still_being_written_is_not_read(listed: Path) -> None:
    """Only what is the same in two polls counts; reading the same again is no change."""
    watch = ListWatch([list_info(LabelSettings(path=str(listed)))])
    watch.read_all()
    for part in ("a", "b", "c"):
        listed.write_text(HEADER + f"0x{'22' * 20},{part * 9}\n" * len(part))
        os.utime(listed, ns=(0, ord(part)))
        watch.poll()
        assert watch.take() == []
    watch.poll()
    (content,) = watch.take()
    assert [label.label for label in content.labels] == ["ccccccccc"]
    watch.poll()
    watch.poll()
    assert watch.take() == []


def test_an_analysts_label_takes_force_with_the_next_block_and_ends_likewise(
    run: Run, events: list[ChainEvent], busy: bytes
) -> None:
    """Given and withdrawn while it runs; each is noted with its block; alerts follow."""
    run.feed(events[:30])
    said = AnalystWord(busy, "sanctioned", "ana", "court order")
    set_label(run.ledger, said, 0)
    assert [c.number for c in run.ledger.label_changes()] == [None]
    run.feed(events[30:80])
    withdraw_label(run.ledger, AnalystWord(busy, "sanctioned", "bob", "other court"))
    run.feed(events[80:])
    given, taken = run.ledger.label_changes()
    assert (given.number, taken.number) == (number_of(events, 30), number_of(events, 80))
    assert (given.by, taken.by, taken.why) == ("ana", "bob", "other court")
    touched = run.touches(busy)
    assert touched
    assert given.number is not None
    assert taken.number is not None
    assert all(given.number <= number < taken.number for number in touched)


def test_how_late_labels_are_and_how_far_ahead_alerts_were_is_told(
    run: Run, events: list[ChainEvent], busy: bytes
) -> None:
    """From when a label holds, and from a wallet's first alert, to the block it joins."""
    added = [e for e in events if isinstance(e, BlocksAdded)]
    now = added[100].batch.blocks["block_timestamp"][0].as_py()
    set_label(run.ledger, AnalystWord(busy, "sanctioned", valid_from=0), 0)
    run.feed(list(added[:100]))
    subject = run.touched_wallet()
    first = run.ledger.alerts(AlertFilter(subject=subject, limit=1000))[-1].block_timestamp
    for address, word, since in (
        (subject, "phishing", first),
        (b"\x05" * 20, "scam", now - 60),
        (b"\x06" * 20, "mixer", now + 60),  # holds from later on, and is not bad
    ):
        set_label(run.ledger, AnalystWord(address, word, valid_from=since), 0)
    run.feed(list(added[100:101]))
    counts = run.labelling.counts
    assert counts.lags == [now - first, 60, 0]
    assert counts.leads == [now - first] != [0]
    metrics = new_metrics(ETHEREUM)
    run.labelling.observe(metrics)
    run.labelling.observe(metrics)

    def value(name: str, **labels: str) -> float | None:
        labels = {"chain": "ethereum", **labels}
        return metrics.registry.get_sample_value(f"chainwarden_{name}", labels)

    assert (value("label_lag_seconds_count"), value("label_lag_seconds_sum")) == (
        3,
        now - first + 60,
    )
    assert (value("alert_lead_seconds_count"), value("alert_lead_seconds_sum")) == (1, now - first)
    assert [value("bad_labels_total", alerted=one) for one in ("yes", "no")] == [1, 1]


def test_what_was_said_before_a_batch_is_committed_is_not_said_twice(
    run: Run, events: list[ChainEvent], busy: bytes
) -> None:
    """Two labels within one commit each have their own block."""
    added = [e for e in events if isinstance(e, BlocksAdded)]
    run.feed(list(added[:1]))
    run.ledger.add_label(Label(busy, "scam", "analyst"))
    run.pipeline.handle(added[1])
    run.ledger.add_label(Label(busy, "phishing", "analyst"))
    run.pipeline.handle(added[2])
    run.pipeline.flush()
    numbers = [int(e.batch.numbers()[0]) for e in added[1:3]]
    assert [c.number for c in run.ledger.label_changes()] == numbers
    assert run.labelling.counts.said == 2


def test_what_took_force_with_the_first_block_scored_again_is_a_change(
    run: Run, events: list[ChainEvent], busy: bytes
) -> None:
    """Models are to correct what they learnt by then; what was said earlier they knew already."""
    added = [e for e in events if isinstance(e, BlocksAdded)]
    run.feed(list(added[:1]))
    set_label(run.ledger, AnalystWord(b"\x44" * 20, "scam", "ana"), 0)
    run.feed(list(added[1:2]))
    set_label(run.ledger, AnalystWord(busy, "phishing", "ana"), 0)
    run.feed(list(added[2:4]))
    book = LabelBook()
    again = added[2]
    (part,) = RecordedLabels(book, run.ledger, run.stores.lists).cut(again)
    assert part.batch.numbers().tolist() == again.batch.numbers().tolist()
    (change,), whole = book.changes_since(0)
    assert (change.address, change.after) == (busy, Verdict.BAD)
    assert whole
    assert {label.label for label in book.labels_of(b"\x44" * 20)} == {"scam"}


def disturbed(run: Run, events: list[ChainEvent], busy: bytes, listed: Path) -> None:
    """A run in which people speak and a list changes."""
    run.feed(events[:30])
    set_label(run.ledger, AnalystWord(busy, "sanctioned", "ana"), 0)
    run.feed(events[30:60])
    listed.write_text(HEADER + f"0x{busy.hex()},exchange\n0x{'22' * 20},scam\n")
    run.polled()
    withdraw_label(run.ledger, AnalystWord(busy, "sanctioned", "ana"))
    run.feed(events[60:90])
    set_label(run.ledger, AnalystWord(busy, "sanctioned", "ana"), 0)
    run.feed(events[90:])


def test_a_rebuild_scores_every_block_with_the_labels_of_then(
    run: Run, events: list[ChainEvent], busy: bytes, listed: Path, tmp_path: Path
) -> None:
    """The same alerts, bit for bit, though the list is another one now; the trail is kept.

    Files of the lake are merged, so what is read at once has blocks from before and after a label.
    """
    disturbed(run, events, busy, listed)
    run.pipeline.tidy()
    assert max(file.rows for file in run.ledger.files("blocks")) > 30
    listed.write_text(HEADER + f"0x{'33' * 20},scam\n")
    result = rebuild(run.ledger, tmp_path / "out" / "lake", tmp_path / "again", run.settings)
    assert (result["missing"], result["new"]) == (0, 0)
    assert result["state_digest"] == run.detector.digest()
    assert (result["labels"], result["label_lists"]) == (3, 2)
    with Ledger.open(tmp_path / "again" / "ledger.duckdb", ETHEREUM, "replay") as again:
        assert ids(every_alert(again)) == ids(every_alert(run.ledger))
        assert [c.number for c in again.label_changes()] == [
            c.number for c in run.ledger.label_changes()
        ]
    assert len(list((tmp_path / "again" / "label-lists").iterdir())) == 2


def test_a_restart_is_with_the_labels_of_then(
    run: Run, events: list[ChainEvent], busy: bytes, listed: Path
) -> None:
    """Blocks scored again after a crash see what they saw; what changed meanwhile comes after."""
    disturbed(run, events[:100], busy, listed)
    digest, alerts = run.detector.digest(), ids(every_alert(run.ledger))
    run.ledger.close()
    listed.write_text(HEADER + f"0x{'33' * 20},scam\n")
    again = Run(run.folder, run.settings)
    assert again.detector.digest() == digest
    assert ids(every_alert(again.ledger)) == alerts
    assert again.book.labels_of(b"\x22" * 20)
    assert [label.label for label in again.book.labels_of(busy)] == ["exchange", "sanctioned"]
    again.feed(events[100:102])
    assert not again.book.labels_of(b"\x22" * 20)
    assert again.book.labels_of(b"\x33" * 20)
    assert again.ledger.label_lists()[-1].number == number_of(events, 100)
    again.ledger.close()
    plain = Run(run.folder, Settings())
    plain.feed(events[102:104])
    assert not plain.book.labels_of(b"\x33" * 20), "a list that the settings name no more is gone"
    assert plain.ledger.label_lists()[-1].digest == ""
    plain.ledger.close()
    run.stores = plain.stores


def test_a_label_of_an_orphaned_block_holds_for_the_one_in_its_place_after_a_restart(
    run: Run, events: list[ChainEvent], busy: bytes
) -> None:
    """Ended between the revert and the next block, the word is neither lost nor said anew."""
    fork = next(i for i, event in enumerate(events) if isinstance(event, BlockReverted))
    run.feed(events[: fork - 1])
    set_label(run.ledger, AnalystWord(busy, "sanctioned", "ana", "court order"), 0)
    run.feed(events[fork - 1 : fork + 1])
    (said,) = run.ledger.label_changes()
    assert run.detector.head is not None
    assert said.number == run.detector.head.number + 1
    run.pipeline.save_snapshot()  # from there a restart scores no block again
    run.ledger.close()
    again = Run(run.folder, run.settings)
    assert [label.label for label in again.book.labels_of(busy)] == ["sanctioned"]
    again.ledger.close()
    run.stores = again.stores


def test_a_start_with_a_bad_list_is_an_error(tmp_path: Path, listed: Path) -> None:
    """At the start nothing is in force yet: a list that is none is an error with its path."""
    listed.write_bytes(b"nothing")
    with pytest.raises(LabelError, match=r"list\.csv"):
        Run(tmp_path / "out", Settings(detect=DetectSettings(labels=[str(listed)])))


def test_lists_of_the_settings_have_source_licence_period_and_chain(tmp_path: Path) -> None:
    """TOML's own dates are dates; a time that is none and a misspelt key are errors."""
    file = tmp_path / "chainwarden.toml"
    file.write_text(
        '[detect]\nlabels = ["a.csv"]\n'
        '[[labels]]\npath = "b.csv"\nsource = "ops"\nlicence = "MIT"\nchain = "base"\n'
        "valid_from = 2022-08-08\nvalid_to = 1742515200\n"
    )
    first, second = (list_info(one) for one in load_settings(file).lists())
    assert (first.name, first.source, first.valid_from, first.valid_to) == ("a.csv", None, 0, None)
    assert (second.source, second.licence, second.chain) == ("ops", "MIT", "base")
    assert (second.valid_from, second.valid_to) == (1_659_916_800, 1_742_515_200)
    with pytest.raises(SettingsError, match=r"b\.csv.*ISO date"):
        list_info(LabelSettings(path="b.csv", valid_from="soon"))
    for text, says in (
        ('[[labels]]\npath = "a"\nlicense = "MIT"\n', "did you mean licence"),
        ('[detect]\nlabels = ["a"]\n[[labels]]\npath = "a"\n', "there twice"),
    ):
        file.write_text(text)
        with pytest.raises(SettingsError, match=says):
            load_settings(file)

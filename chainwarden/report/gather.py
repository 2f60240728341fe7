"""Ledger and lake asked once for all that a report says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import StoreError
from chainwarden.recorded_labels import recorded_book
from chainwarden.replay import every_alert, read_result
from chainwarden.report.compare import compare
from chainwarden.report.facts import (
    RISK_FIGURES,
    TIMELINE_BINS,
    Case,
    Judged,
    Move,
    Report,
    RuleCount,
    Summary,
    Timeline,
)
from chainwarden.report.judged import judged_by_labels, judged_by_truth
from chainwarden.report.lake_facts import FlowFacts, Span, read_flows, read_span
from chainwarden.report.neighbours import neighbourhood
from chainwarden.schema import HASH, ZERO_ADDRESS, Alert, Cursor, Severity
from chainwarden.scorecard import Campaign, score_rules
from detect.known.services import SERVICES
from store.label_archive import LabelArchive
from store.lake import Lake
from store.ledger import Ledger

NO_LAKE: Final = (
    "There is no lake beside the ledger: block times, wallets, scores and money flows are missing."
)
NO_FEATURES: Final = "The lake has no features for these flows: score distributions are missing."
NO_ALERTS: Final = "No alerts were raised."


_Group = tuple[bytes | None, list[Alert]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report is to be about, beside the replay itself.

    ``cases`` is how many of the worst are shown. ``truth`` are the campaigns that took place, None
    where nobody knows. ``against`` is the name of another replay and its active alerts.
    """

    cases: int = 10
    truth: Sequence[Campaign] | None = None
    against: tuple[str, Sequence[Alert]] | None = None


def gather(name: str, ledger: Ledger, lake_folder: Path, wanted: Wanted) -> Report:
    """Everything a report says about the results in a ledger and its lake.

    ``name`` is what the replay is called. A lake that is missing, or cannot be read, costs what it
    alone knows, and a note says so.
    """
    alerts = every_alert(ledger)
    grouped = _cases(alerts)
    shown = grouped[: wanted.cases]
    notes = [] if alerts else [NO_ALERTS]
    span, flows = _read_lake(ledger, lake_folder, shown, notes)
    labels_of = _labels(ledger)
    counts = ledger.alert_counts()
    retracted = sum(n for (_, _, status), n in counts.items() if status == "retracted")
    return Report(
        name=name,
        summary=replace(
            _summary(ledger, len(alerts), retracted, span, flows),
            seconds=_seconds(lake_folder.parent, ledger),
        ),
        rules=_rules(alerts),
        timeline=_timeline(alerts, span),
        flow_scores=flows.flow_scores if flows else None,
        wallet_scores=flows.wallet_scores if flows else None,
        accuracy=None if wanted.truth is None else tuple(score_rules(alerts, wanted.truth)),
        judged=_judged(ledger, lake_folder.parent, alerts, wanted.truth),
        risk=_risk(ledger.model_figures()),
        cases=tuple(_case(subject, about, flows, labels_of) for subject, about in shown),
        case_count=len(grouped),
        difference=compare(wanted.against[0], alerts, wanted.against[1])
        if wanted.against
        else None,
        alerts=tuple(alerts),
        notes=tuple(notes),
    )


def _read_lake(
    ledger: Ledger, folder: Path, shown: Sequence[_Group], notes: list[str]
) -> tuple[Span | None, FlowFacts | None]:
    manifest = ledger.files()
    if not folder.is_dir() or not manifest:
        notes.append(NO_LAKE)
        return None, None
    lake = Lake(folder, ledger.chain)
    try:
        subjects = [subject for subject, _ in shown if subject is not None]
        hashes = [hash_ for _, group in shown for hash_ in group[0].evidence.transactions]
        span = read_span(lake, manifest)
        flows = read_flows(lake, manifest, subjects, hashes)
    except StoreError as error:
        notes.append(f"The lake could not be read, and what it knows is missing: {error}.")
        return None, None
    if flows.flow_scores is None:
        notes.append(NO_FEATURES)
    return span, flows


def _summary(
    ledger: Ledger, alerts: int, retracted: int, span: Span | None, flows: FlowFacts | None
) -> Summary:
    cursor = ledger.cursor() or Cursor(None)
    known = Summary(
        chain=ledger.chain,
        blocks=cursor.blocks,
        transactions=cursor.transactions,
        flows=cursor.flows,
        alerts=alerts,
        retracted=retracted,
        last_block=cursor.head.number if cursor.head else None,
        wallets=flows.wallets if flows else None,
    )
    if span is None:
        return known
    return Summary(
        chain=known.chain,
        blocks=known.blocks,
        transactions=known.transactions,
        flows=known.flows,
        alerts=alerts,
        retracted=retracted,
        kept_blocks=span.blocks,
        verified_blocks=span.verified,
        first_block=span.first_block,
        last_block=span.last_block,
        first_time=span.first_time,
        last_time=span.last_time,
        wallets=known.wallets,
    )


def _seconds(out: Path, ledger: Ledger) -> float | None:
    """How long the replay took that made this ledger; None where another one did, or none."""
    cursor = ledger.cursor()
    told = read_result(out)
    if told is None or cursor is None or told.get("flows") != cursor.flows:
        return None
    seconds = told.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def _judged(
    ledger: Ledger, out: Path, alerts: Sequence[Alert], truth: Sequence[Campaign] | None
) -> Judged | None:
    if truth is not None:
        return judged_by_truth(alerts, truth)
    book = recorded_book(ledger, LabelArchive(out / "label-lists"))
    now, chain = max((alert.block_timestamp for alert in alerts), default=0), ledger.chain.name
    return judged_by_labels(alerts, lambda wallet: book.verdict_at(wallet, now, chain))


def _risk(figures: dict[str, Any] | None) -> Mapping[str, float | None] | None:
    champion = figures["champion"] if figures else None
    if champion is None or not champion["figures"]["all"]["rows"]:
        return None
    return {name: champion["figures"]["all"][name] for name in RISK_FIGURES}


def _rules(alerts: Sequence[Alert]) -> tuple[RuleCount, ...]:
    """Counts by rule, most alerts first."""
    counts: dict[str, Counter[Severity]] = defaultdict(Counter)
    for alert in alerts:
        counts[alert.rule][alert.severity] += 1
    rules = [RuleCount(rule, dict(by)) for rule, by in counts.items()]
    return tuple(sorted(rules, key=lambda one: (-one.total, one.rule)))


def _timeline(alerts: Sequence[Alert], span: Span | None) -> Timeline | None:
    times = [alert.block_timestamp for alert in alerts]
    if not times:
        return None
    if span is not None:
        times += [span.first_time, span.last_time]
    first, last = min(times), max(times)
    width = max(1, last - first)
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * TIMELINE_BINS)
    for alert in alerts:
        place = (alert.block_timestamp - first) * TIMELINE_BINS // width
        counts[alert.rule][min(place, TIMELINE_BINS - 1)] += 1
    series = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    return Timeline(first, last, tuple((rule, tuple(bins)) for rule, bins in series))


def _cases(alerts: Sequence[Alert]) -> list[_Group]:
    """Alerts by subject, worst case first; those about the chain itself by their rule."""
    groups: dict[bytes | str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        groups[alert.rule if alert.subject == ZERO_ADDRESS else alert.subject].append(alert)
    cases = [
        (key if isinstance(key, bytes) else None, sorted(group, key=_badness))
        for key, group in groups.items()
    ]
    return sorted(cases, key=lambda case: (*_badness(case[1][0])[:2], -len(case[1]), case[1][0].id))


def _badness(alert: Alert) -> tuple[int, float, int, str]:
    """Sorts the worst alert first: the most severe, the highest score, the newest."""
    return -int(alert.severity), -alert.score, -alert.position.number, alert.id


def _case(
    subject: bytes | None,
    alerts: list[Alert],
    flows: FlowFacts | None,
    labels_of: Callable[[bytes], tuple[str, ...]],
) -> Case:
    moves = _moves(flows, alerts[0].evidence.transactions) if flows else ()
    if subject is None:
        return Case(None, (), tuple(alerts), None, moves)
    evidence = {address for alert in alerts for address in alert.evidence.addresses}
    near = neighbourhood(flows.flows, subject, evidence, labels_of) if flows else None
    return Case(subject, labels_of(subject), tuple(alerts), near, moves)


def _moves(flows: FlowFacts, transactions: Sequence[bytes]) -> tuple[Move, ...]:
    """What the transactions moved, in the order of the lake."""
    columns = ("transaction_hash", "from_address", "to_address", "token_address", "value")
    table = flows.moves.filter(
        pc.is_in(flows.moves["transaction_hash"], pa.array(transactions, HASH))
    )
    return tuple(
        Move(hash_, sender, receiver, (token, int.from_bytes(value, "big")))
        for hash_, sender, receiver, token, value in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        )
    )


def _labels(ledger: Ledger) -> Callable[[bytes], tuple[str, ...]]:
    """The words said about an address: by people, and known from the start."""
    words: dict[bytes, dict[str, None]] = defaultdict(dict)
    for word, addresses in SERVICES.items():
        for address in addresses:
            words[address][word] = None
    for label in ledger.labels():
        words[label.address][label.label] = None
    return lambda address: tuple(words.get(address, ()))

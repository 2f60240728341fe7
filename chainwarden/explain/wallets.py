"""One wallet, as the lake and the labels have it: scores, features, history, flows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from chainwarden.explain.gather import history_answer
from chainwarden.explain.history import history_of
from chainwarden.explain.reading import SIDES, Over, deadline, read_files
from chainwarden.explain.standing import anomaly_word, risk_levels, risk_word, share_below
from chainwarden.explain.words import words_now, words_of
from chainwarden.schema import FlowKind, LakeFile, hex_of
from detect.features import FLOW_FEATURES, MEANINGS
from detect.known.tokens import NATIVE, VALUE_TOKENS
from detect.label_words import Verdict
from detect.labels import LabelBook
from store.answers import label_to_dict
from store.lake import Lake
from store.lake_blocks import head_time
from store.lake_flows import FlowFilter, FlowPage, Row, find_flows
from store.ledger import Ledger

_LATEST: Final = 100
"""Flows among which a wallet's latest scores are looked for."""

Answer = dict[str, Any]


class WalletPages:
    """What is known of the wallets of one ledger. It only reads, and may be asked from any thread.

    ``labels`` is the book that alerts are decided with. An answer is bounded in rows and in time
    (``clock``, in seconds): where the time was too short for all of the lake, it says so.
    """

    def __init__(
        self,
        ledger: Ledger,
        lake: Lake,
        labels: LabelBook,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._lake = lake
        self._labels = labels
        self._clock = clock

    def flows(self, wanted: FlowFilter) -> Answer:
        """``{flows, searched_to, next}``: a page of what moved from and to a wallet, newest first.

        ``next`` is where the next page goes on, None where there is nothing more. A page ends
        early, even empty, where the time did; ``searched_to`` is the block it came to.
        """
        page = self._find(wanted, deadline(self._clock))
        sides = {row[side] for row in page.rows for side in SIDES}
        words = words_now(self._ledger, self._labels, sorted(sides))
        flows = [_flow(row, wanted.address, words) for row in page.rows]
        return {
            "address": hex_of(wanted.address),
            "flows": flows,
            "searched_to": page.searched_to,
            "next": None if page.after is None else str(page.after),
        }

    def about(self, address: bytes) -> Answer:
        """Every label it has and their verdict, its latest scores and features, and its history.

        Scores are those before the flow they came with, and null in warm-up; the risk has that flow
        in. Both are as they were scored, at ``block_number``, not as they would be now. ``below``
        is the share of all wallets' scores in the newest blocks that are lower; see ``standing``.
        """
        over = deadline(self._clock)
        now = head_time(self._ledger, self._lake)
        verdict = self._labels.verdict_at(address, now, self._ledger.chain.name)
        latest = self._find(FlowFilter(address, limit=_LATEST), over, FLOW_FEATURES).rows
        words = partial(words_of, self._labels)

        def history(manifest: list[LakeFile]) -> Answer | None:
            found = history_of(self._lake, manifest, address, frozenset(), words, over=over)
            return None if found is None else history_answer(found)

        return {
            "verdict": Verdict(verdict).name.lower(),
            "known_labels": [
                {**label_to_dict(label, None), "holds": label.holds_at(now)}
                for label in self._labels.labels_of(address)
            ],
            "score": self._standing(_latest(latest, address, "score"), over),
            "risk": self._level(_latest(latest, address, "risk")),
            "features": _features(latest[0]) if latest else None,
            "history": read_files(self._ledger, history, "flows"),
        }

    def _standing(self, score: Answer | None, over: Over) -> Answer | None:
        if score is None:
            return None

        def below(manifest: list[LakeFile]) -> float | None:
            return share_below(self._lake, manifest, score["value"], over)

        share = read_files(self._ledger, below, "features")
        return {**score, "below": share, "word": anomaly_word(share)}

    def _level(self, risk: Answer | None) -> Answer | None:
        if risk is None:
            return None
        levels = risk_levels(self._ledger.model_figures())
        return {**risk, "levels": levels, "word": risk_word(risk["value"], levels)}

    # --- inside --------------------------------------------------------------------------------

    def _find(self, wanted: FlowFilter, over: Over, features: tuple[str, ...] = ()) -> FlowPage:
        def page(manifest: list[LakeFile]) -> FlowPage:
            return find_flows(self._lake, manifest, wanted, over, features)

        return read_files(self._ledger, page, "flows", "features")


def _flow(row: Row, subject: bytes, words: Mapping[bytes, list[str]]) -> Answer:
    """A flow as flat columns, for tables and graphs; amounts exact, as decimal text."""
    sender, receiver = row["from_address"], row["to_address"]
    out = sender == subject
    other = receiver if out else sender
    token, amount = row["token_address"], int.from_bytes(row["value"], "big")
    known = NATIVE if token is None else VALUE_TOKENS.get(token)
    token_id = row["token_id"]
    side = "to" if out else "from"
    return {
        "block_number": row["block_number"],
        "block_timestamp": row["block_timestamp"],
        "time": row["block_timestamp"] * 1000,
        "transaction": hex_of(row["transaction_hash"]),
        "transaction_index": row["transaction_index"],
        "ordinal": row["ordinal"],
        "kind": FlowKind(row["kind"]).name.lower(),
        "from": hex_of(sender),
        "to": hex_of(receiver),
        "token": hex_of(token),
        "symbol": None if known is None else known.symbol,
        "token_id": None if token_id is None else str(int.from_bytes(token_id, "big")),
        "amount": str(amount),
        "value": None if known is None else whole_units(amount, known.decimals),
        "direction": "self" if sender == receiver else "out" if out else "in",
        "counterparty": hex_of(other),
        "counterparty_label": ", ".join(words[other]) or None,
        "counterparty_score": row[f"{side}_score"],
        "counterparty_risk": row[f"{side}_risk"],
        "score": row["flow_score"],
    }


def whole_units(amount: int, decimals: int) -> str:
    """An amount in whole units of its token, exact.

    >>> whole_units(1_500_000, 6), whole_units(10**18, 18), whole_units(1, 18)
    ('1.5', '1', '0.000000000000000001')
    """
    whole, rest = divmod(amount, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".")


def _latest(rows: list[Row], address: bytes, what: str) -> Answer | None:
    """The newest of a kind of score that the wallet got, and with which flow."""
    for row in rows:
        for side in ("from", "to"):
            value = row[f"{side}_{what}"]
            if row[f"{side}_address"] == address and value is not None:
                number, time_ = row["block_number"], row["block_timestamp"]
                return {"value": value, "block_number": number, "block_timestamp": time_}
    return None


def _features(row: Row) -> Answer:
    """The features of the wallet's newest flow, as they were read."""
    return {
        "block_number": row["block_number"],
        "transaction": hex_of(row["transaction_hash"]),
        "values": [
            {"feature": name, "value": row[name], "meaning": MEANINGS[f"flow_{name}"]}
            for name in FLOW_FEATURES
        ],
    }

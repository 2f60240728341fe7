"""An explanation as text: at most ``MOST_LINES`` lines of ``WIDTH`` columns.

Every part has a share of the lines; what does not fit is counted. Text of the chain and of people
is on one line and printable.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from chainwarden.explain.lines import WIDTH, Node, brief, cut, data_of, label_text, pair, sums
from chainwarden.report.words import brief_amount, decimal, moment, plain

MOST_LINES: Final = 40
_BAR: Final = 20
_REASONS, _TRANSACTIONS, _HOPS, _RELATED, _PARTNERS = 6, 4, 4, 3, 3
_PREFIX: Final = 12  # digits of an id that commands show


def page(explanation: Node, options: str = "") -> list[str]:
    """The lines; ``options`` are what the commands that are shown need to find this ledger."""
    alert = explanation["alert"]
    told = [
        *_head(alert),
        *_subject(explanation["subject"]),
        *_reasons(alert),
        *_evidence(alert["evidence"]),
        *_path(alert["evidence"]["path"]),
        *_related(explanation["related"]),
    ]
    # Commands are whole, whatever their length: they are there to be copied.
    commands = list(_commands(explanation, options))
    room = MOST_LINES - len(told) - len(commands) - 1
    against = _against(explanation["about"], room)
    return [*map(cut, [*told, *against]), *commands]


def _head(alert: Node) -> Iterator[str]:
    status = "" if alert["status"] == "active" else f", {alert['status']}"
    yield (
        f"{alert['severity'].upper()} {alert['rule']}: score {alert['score']:.3f}, "
        f"role {alert['role']}{status}"
    )
    yield (
        f"alert {alert['id']}, block {alert['block_number']}, "
        f"{moment(alert['block_timestamp'])} UTC, {plain(alert['chain'])}"
    )
    yield from _wrapped(alert["sentence"], "  ", 3)


def _subject(subject: Node | None) -> Iterator[str]:
    if subject is None:
        yield "SUBJECT    the chain itself"
        return
    yield f"SUBJECT    {subject['address']}"
    words = [label_text(label) for label in subject["labels"]]
    yield f"  labels   {', '.join(words) or 'none'} (then: {subject['verdict_then']})"
    history = subject["history"]
    if history is None:
        why = subject["history_error"] or "nothing in the lake moved anything from or to it"
        yield f"  history  {plain(why)}"
        return
    since = "" if history["whole"] else f" (looked at from block {history['since_block']} on)"
    yield (
        f"  history  since block {history['first_block']}, {moment(history['first_time'])} UTC"
        f"{since}: {history['flows']:,} flows, {history['counterparties']:,} counterparties"
    )
    yield f"           in {sums(history['received'])}; out {sums(history['sent'])}"
    partners = "; ".join(_partner(one) for one in history["partners"][:_PARTNERS])
    yield f"  with     {partners}"


def _partner(one: Node) -> str:
    words = f" {one['labels'][0]}" if one["labels"] else ""
    ways = [
        f"{arrow}{brief_amount(pair(side['amounts'][0]))}"
        for arrow, side in (("←", one["to_subject"]), ("→", one["from_subject"]))
        if side is not None and side["amounts"]
    ]
    return plain(f"{brief(one['address'])}{words} {' '.join(ways)}")


def _reasons(alert: Node) -> Iterator[str]:
    reasons = sorted(alert["reasons"], key=lambda r: -abs(float(r["contribution"])))
    yield "REASONS    share of the score, feature, value, threshold"
    most = max((abs(float(r["contribution"])) for r in reasons), default=0.0) or 1.0
    shown = reasons if len(reasons) <= _REASONS else reasons[: _REASONS - 1]
    for reason in shown:
        share = float(reason["contribution"])
        bar = "█" * max(1, round(_BAR * abs(share) / most)) if share else ""
        limit = reason["threshold"]
        told = "" if limit is None else f"  (threshold {_number(limit)})"
        name = plain(reason["feature"])
        yield f"  {share:+.3f}   {bar:<{_BAR}}  {name} {_number(reason['value'])}{told}"
    rest = reasons[len(shown) :]
    if rest:
        total = sum(float(r["contribution"]) for r in rest)
        yield f"  {total:+.3f}   {len(rest)} more"


def _evidence(evidence: Node) -> Iterator[str]:
    yield f"EVIDENCE   {sums(evidence['amounts'])}"
    yield from _some("tx", evidence["transactions"], _TRANSACTIONS)
    addresses = [brief(address) for address in evidence["addresses"]]
    if len(addresses) == 1:
        yield f"  wallet   {evidence['addresses'][0]}"
    elif addresses:
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        yield f"  wallets  {', '.join(addresses[:3])}{more}"


def _path(path: Sequence[Node]) -> Iterator[str]:
    if not path:
        return
    yield "PATH       of the funds"
    kept = path if len(path) <= _HOPS else [*path[: _HOPS - 2], *path[-1:]]
    for place, hop in enumerate(kept):
        if len(path) > len(kept) and place == len(kept) - 1:
            yield f"           … {len(path) - len(kept)} more hops …"
        amount = brief_amount((data_of(hop["token"]), int(hop["amount"])))
        tx = "" if hop["transaction"] is None else f"  tx {hop['transaction'][:18]}…"
        yield f"  {brief(hop['from'])} ──▶ {brief(hop['to'])}  {amount}{tx}"


def _related(related: Sequence[Node]) -> Iterator[str]:
    if not related:
        yield "RELATED    no other alert about this wallet or these transactions"
        return
    yield f"RELATED    {len(related)} more about this wallet or these transactions"
    shown = related if len(related) <= _RELATED else related[: _RELATED - 1]
    for one in shown:
        which = "wallet" if one["same_subject"] else "tx    "
        status = "" if one["status"] == "active" else f" [{one['status']}]"
        yield (
            f"  {which}   {one['id'][:8]} {one['severity']} {one['rule']}, block "
            f"{one['block_number']}{status}: {plain(one['sentence'])}"
        )
    if len(related) > len(shown):
        yield f"           … and {len(related) - len(shown)} more: chainwarden alerts --subject"


def _against(about: Node | None, room: int) -> Iterator[str]:
    if about is None:
        return
    for place, text in enumerate(about["innocent"][:room]):
        yield f"{'AGAINST IT' if not place else '':<10} {text}"
    yield f"TO DO      {about['check']}"


def _commands(explanation: Node, options: str) -> Iterator[str]:
    suspect, word = explanation["suspect"], explanation["bad_label"]
    if suspect is None:
        yield "LABEL      it is about no wallet: nothing to label"
        return
    end = f"           --from-alert {explanation['alert']['id'][:_PREFIX]}{options}"
    if word:
        yield f"IF RIGHT   chainwarden label {suspect} {word} \\"
        yield end
    yield f"IF WRONG   chainwarden label {suspect} false_positive \\"
    yield f"{end}  # or benign: a wallet to trust"


def _some(name: str, items: Sequence[str], most: int) -> Iterator[str]:
    shown = items if len(items) <= most else items[: most - 1]
    for item in shown:
        yield f"  {name:<7}  {item}"
    if len(items) > len(shown):
        yield f"           … and {len(items) - len(shown)} more"


def _number(value: object) -> str:
    return decimal(value) if isinstance(value, int | float) else plain(str(value))


def _wrapped(text: str, indent: str, most: int) -> list[str]:
    # What is beyond the last line is never seen: a megabyte need not be wrapped.
    lines = textwrap.wrap(plain(text[: 2 * most * WIDTH]), WIDTH - len(indent)) or [""]
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [indent + line for line in lines]

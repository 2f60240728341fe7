"""What is known of a wallet as text: at most ``MOST_LINES`` lines of ``WIDTH`` columns.

What does not fit is counted. Text of the chain and of people is on one line and printable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chainwarden.explain.lines import Node, brief, cut, label_text, pair, sums
from chainwarden.report.words import brief_amount, moment, plain, share

MOST_LINES: Final = 40
_LABELS, _ALERTS = 4, 5

_SCORE: Final = {
    "rare": "rare: next to none are above it",
    "unusual": "unusual: nearly all others are below it",
    "usual": "usual",
}
_RISK: Final = {
    "grave": "grave: it behaves like wallets that turned out bad",
    "alert": "at the alert level",
    "low": "low",
}


def wallet_page(profile: Node, options: str = "") -> list[str]:
    """The lines; ``options`` are what the commands that are shown need to find this ledger."""
    told = [*_who(profile), *_models(profile), *_history(profile), *_alerts(profile)]
    # Commands are whole, whatever their length: they are there to be copied.
    return [*map(cut, told), *_commands(profile, options)]


def _who(profile: Node) -> Iterator[str]:
    yield f"WALLET     {profile['address']}"
    known = profile["known_labels"]
    labels = [label_text(one) + ("" if one["holds"] else ", over") for one in known]
    why = "a known service" if profile["verdict"] == "good" else "nobody labelled it"
    yield f"  verdict  {profile['verdict']}{'' if labels else f': {why}'}"
    for place, text in enumerate(labels[:_LABELS]):
        yield f"{'' if place else '  labels':<10} {text}"
    if len(labels) > _LABELS:
        yield f"           … and {len(labels) - _LABELS} more: chainwarden labels"


def _models(profile: Node) -> Iterator[str]:
    risk, score = profile["risk"], profile["score"]
    if risk is None:
        yield "RISK       none: the risk model has not judged it"
    else:
        told = [f"{name} from {level:g}" for name, level in risk["levels"].items()]
        yield f"RISK       {risk['value']:.2f}, {_RISK[risk['word']]}, as of {_place(risk)}"
        if told:
            yield f"           {', '.join(told)}"
    if score is None:
        yield "ANOMALY    none: the model was warming up, or it never moved anything"
        return
    yield f"ANOMALY    {score['value']:.3f}, {_SCORE[score['word']]}"
    yield f"           as of {_place(score)}; {share(score['below'])} of wallets' scores are lower"


def _place(score: Node) -> str:
    return f"block {score['block_number']}"


def _history(profile: Node) -> Iterator[str]:
    history = profile["history"]
    if history is None:
        yield "SEEN       nothing in the lake moved anything from or to it"
        return
    since = "" if history["whole"] else f" (looked at from block {history['since_block']} on)"
    yield f"SEEN       first {_when(history, 'first')}{since}"
    yield f"           last  {_when(history, 'last')}"
    yield f"  in       {history['flows_in']:,} flows: {sums(history['received'])}"
    yield f"  out      {history['flows_out']:,} flows: {sums(history['sent'])}"
    partners = history["partners"]
    rest = f", the {len(partners)} largest:" if len(partners) < history["counterparties"] else ""
    yield f"WITH       {history['counterparties']:,} counterparties{rest}"
    for one in partners:
        yield _partner(one)


def _when(history: Node, end: str) -> str:
    return f"block {history[f'{end}_block']}, {moment(history[f'{end}_time'])} UTC"


def _partner(one: Node) -> str:
    words = ", ".join(one["labels"])
    paid, got = _way("paid it", one["to_subject"]), _way("got", one["from_subject"])
    return plain(f"  {one['address']}  {'; '.join(filter(None, (paid, got)))}  {words}".rstrip())


def _way(verb: str, side: Node | None) -> str:
    if side is None or not side["amounts"]:
        return ""
    more = len(side["amounts"]) - 1
    tokens = f" and {more} token{'s' if more > 1 else ''}" if more else ""
    return f"{verb} {brief_amount(pair(side['amounts'][0]))}{tokens} ({side['count']:,}×)"


def _alerts(profile: Node) -> Iterator[str]:
    alerts = profile["alerts"]
    if not alerts:
        yield "ALERTS     none about it"
        return
    more = " and more" if profile["more"] else ""
    yield f"ALERTS     {len(alerts)}{more}, the newest first"
    for one in alerts[:_ALERTS]:
        status = "" if one["status"] == "active" else f" [{one['status']}]"
        yield (
            f"  {one['id'][:8]} {one['severity']:<8} {plain(one['rule'])}, "
            f"{moment(one['block_timestamp'])} UTC, block {one['block_number']}{status}"
        )
        # The wallet's whole address is above.
        sentence = one["sentence"].replace(profile["address"], brief(profile["address"]))
        yield f"           {plain(sentence)}"
    if len(alerts) > _ALERTS:
        rest = len(alerts) - _ALERTS
        yield f"           … and {rest} more: chainwarden alerts --retracted --subject …"


def _commands(profile: Node, options: str) -> Iterator[str]:
    if profile["alerts"]:
        yield f"WHY        chainwarden explain {profile['alerts'][0]['id'][:8]}{options}"
    yield f"LABEL      chainwarden label {profile['address']} phishing{options}"
    yield f"           chainwarden label {profile['address']} benign{options}"

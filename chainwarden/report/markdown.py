"""A report as GitHub-flavoured Markdown. Nothing in it that came from a chain is markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from chainwarden.report import words
from chainwarden.report.facts import Case, Difference, Report, ScoreHistogram
from chainwarden.report.figures import RECALLS, curve_over, groups_of, precision_at, risk_rows
from chainwarden.report.graph import describe
from chainwarden.schema import Alert, Severity
from detect.calibration import calibration_error
from detect.curves import average_precision

LISTED: Final = 50

_MARKS: Final = re.compile(r"[\\`*{}\[\]<>|#~!$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# What GitHub makes a link or a mention of by itself.
_LINKS: Final = re.compile(r"(?i)(?<=http)s?:|(?<=ftp):|(?<=www)\.|@")


def escaped(text: str) -> str:
    """The text as Markdown that shows it as it is, on one line, in a paragraph or a cell.

    >>> escaped("a|b <i> http://x @y `c`")
    'a\\\\|b &lt;i> http&#58;//x &#64;y \\\\`c\\\\`'
    """
    text = words.plain(text).replace("&", "&amp;").replace("<", "&lt;")
    text = _MARKS.sub(lambda found: found[0] if found[0] == ">" else "\\" + found[0], text)
    return _LINKS.sub(lambda found: "".join(_reference(c) for c in found[0]), text)


def to_markdown(report: Report) -> str:
    """The report as text: the same facts as the page, its charts as tables, its graphs in words."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Report on {escaped(report.name)}"
    for note in report.notes:
        yield f"\n> {escaped(note)}"
    yield "\n## What was replayed\n"
    rows = words.summary_rows(report.summary)
    yield from _table(("", ""), [(name, escaped(value)) for name, value in rows])
    yield "\n## Alerts\n"
    yield from _alerts(report)
    if report.flow_scores and report.wallet_scores:
        yield "\n## Scores\n"
        yield from _scores(report.flow_scores, report.wallet_scores)
    if report.accuracy is not None:
        yield "\n## Against the truth\n"
        yield from _accuracy(report)
    if report.judged is not None or report.risk is not None:
        yield "\n## Precision, recall and calibration\n"
        yield from _quality(report)
    if report.difference is not None:
        yield from _difference(report.difference)
    if report.cases:
        yield "\n## Top cases\n"
        yield f"The worst {len(report.cases)} of {report.case_count:,}."
        for number, case in enumerate(report.cases, 1):
            yield from _case(number, case)


def _alerts(report: Report) -> Iterator[str]:
    if not report.rules:
        yield "None."
        return
    severities = sorted(Severity, reverse=True)
    rows = [
        (
            escaped(one.rule),
            *(words.count_of(one.by_severity.get(severity, 0)) for severity in severities),
            words.count_of(one.total),
        )
        for one in report.rules
    ]
    yield from _table(("rule", *(s.text for s in severities), "all"), rows, numbers=1)


def _scores(flows: ScoreHistogram, wallets: ScoreHistogram) -> Iterator[str]:
    bins = len(flows.counts)
    rows = [
        (f"{place / bins:.2f} to {(place + 1) / bins:.2f}", f"{of_flows:,}", f"{of_wallets:,}")
        for place, (of_flows, of_wallets) in enumerate(
            zip(flows.counts, wallets.counts, strict=True)
        )
        if of_flows or of_wallets
    ]
    rows.append(("without a score", f"{flows.missing:,}", f"{wallets.missing:,}"))
    yield from _table(("score", "flows", "wallets"), rows, numbers=1)


def _quality(report: Report) -> Iterator[str]:
    if (judged := report.judged) is not None:
        curve, groups = curve_over(judged), groups_of(judged)
        yield (
            f"{len(judged.right):,} alerts are judged by {judged.by}, "
            f"{sum(judged.right):,} of them right; {judged.unjudged:,} more cannot be judged. "
            f"Average precision {words.decimal(average_precision(curve))}, calibration error "
            f"{words.decimal(calibration_error(groups))}.\n"
        )
        points = [(f"{part:.0%}", words.share(precision_at(curve, part))) for part in RECALLS]
        yield from _table(("Recall", "Precision"), points)
        yield ""
        rows = [(f"{g.size:,}", words.decimal(g.said), words.decimal(g.was)) for g in groups]
        yield from _table(("Alerts", "Score said", "Share right"), rows)
    if (risk := risk_rows(report)) is not None:
        yield "\nThe wallet risk model, every row judged as it was scored, once its label came:\n"
        yield from _table(("", ""), risk)


def _accuracy(report: Report) -> Iterator[str]:
    columns = ("rule", "looks for", "alerts", "precision", "found", "of", "recall", "blocks")
    rows = [
        (
            escaped(one.rule),
            escaped(one.typology),
            words.count_of(one.alerts),
            words.share(one.precision),
            words.count_of(one.found),
            words.count_of(one.campaigns),
            words.share(one.recall),
            words.decimal(one.blocks_to_alert),
        )
        for one in report.accuracy or ()
    ]
    yield from _table(columns, rows, numbers=2)


def _difference(difference: Difference) -> Iterator[str]:
    yield f"\n## What changed against {escaped(difference.name)}\n"
    yield f"{difference.same:,} alerts are the same."
    for title, alerts in (
        ("Only here", difference.only_here),
        ("Only there", difference.only_there),
    ):
        if alerts:
            yield f"\n### {title}: {len(alerts):,}\n"
            yield from _alert_table(alerts)
    if difference.changed:
        yield f"\n### Other severity: {len(difference.changed):,}\n"
        rows = [
            (
                str(here.position.number),
                there.severity.text,
                here.severity.text,
                escaped(here.rule),
                escaped(here.sentence),
            )
            for there, here in difference.changed[:LISTED]
        ]
        yield from _table(("block", "there", "here", "rule", "what happened"), rows)


def _case(number: int, case: Case) -> Iterator[str]:
    lead = case.lead
    who = "The chain itself" if case.subject is None else f"0x{case.subject.hex()}"
    labels = f" ({escaped(', '.join(case.labels))})" if case.labels else ""
    yield f"\n### {number}. {who}{labels}\n"
    yield (
        f"**{lead.severity.text}**, {escaped(lead.rule)}, score {words.decimal(lead.score)}, "
        f"{lead.role.value}, block {lead.position.number}, "
        f"{words.moment(lead.block_timestamp)} UTC, alert {lead.id}\n"
    )
    yield escaped(lead.sentence)
    if lead.reasons:
        yield ""
        rows = [
            (
                escaped(reason.feature),
                words.decimal(reason.value),
                words.decimal(reason.threshold),
                words.decimal(reason.contribution),
            )
            for reason in lead.reasons
        ]
        yield from _table(("reason", "value", "threshold", "contribution"), rows, numbers=1)
    if case.subject is not None and case.neighbourhood is not None:
        yield f"\n{escaped(describe(case.subject, case.neighbourhood))}"
    if lead.evidence.transactions:
        yield "\nEvidence:\n"
        for hash_ in lead.evidence.transactions[:LISTED]:
            yield f"- 0x{hash_.hex()}"
    if lead.evidence.amounts:
        yield f"\nAmounts: {escaped(words.all_amounts(lead.evidence.amounts))}"
    if lead.evidence.path:
        yield "\nPath of funds:\n"
        hops = [
            (
                f"0x{hop.sender.hex()}",
                f"0x{hop.receiver.hex()}",
                escaped(words.amount_text(hop.token, hop.amount)),
                words.NONE if hop.transaction is None else f"0x{hop.transaction.hex()}",
            )
            for hop in lead.evidence.path
        ]
        yield from _table(("from", "to", "amount", "transaction"), hops)
    if case.moves:
        yield "\nWhat these transactions moved:\n"
        moved = [
            (f"0x{m.sender.hex()}", f"0x{m.receiver.hex()}", escaped(words.amount_text(*m.amount)))
            for m in case.moves[:LISTED]
        ]
        yield from _table(("from", "to", "amount"), moved)
        if len(case.moves) > LISTED:
            yield f"\n… and {len(case.moves) - LISTED:,} more."
    if len(case.alerts) > 1:
        yield f"\nMore alerts about it: {len(case.alerts) - 1:,}\n"
        yield from _alert_table(case.alerts[1:])


def _alert_table(alerts: Sequence[Alert]) -> Iterator[str]:
    rows = [
        (
            str(alert.position.number),
            alert.severity.text,
            escaped(alert.rule),
            escaped(alert.sentence),
        )
        for alert in alerts[:LISTED]
    ]
    yield from _table(("block", "severity", "rule", "what happened"), rows)
    if len(alerts) > LISTED:
        yield f"\n… and {len(alerts) - LISTED:,} more."


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int | None = None
) -> Iterator[str]:
    """A table; columns from ``numbers`` on are aligned to the right."""
    ends = len(columns) if numbers is None else numbers
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' if place < ends else '--:' for place in range(len(columns)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _reference(character: str) -> str:
    return character if character.isalpha() else f"&#{ord(character)};"

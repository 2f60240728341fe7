"""Giving wallets the scores that their rows got after the pass."""

from __future__ import annotations

from detect.compiled import Array, compiled


@compiled
def settle_rows(rows: Array, wallet_row: Array, scores: Array) -> None:
    """Each table row that waits for one of ``scores`` takes it; an evicted one waits no more."""
    for n in range(len(scores)):
        w = rows[wallet_row[n]]
        if w.score_row == n + 1:
            w.score = scores[n]
            w.score_row = 0


@compiled
def settle_undo(rows: Array, scores: Array) -> None:
    """The same for rows as they were before a later block of the pass."""
    for n in range(len(rows)):
        at = rows[n].score_row
        if at > 0:
            rows[n].score = scores[at - 1]
            rows[n].score_row = 0


@compiled
def settle_facts(stored: Array, score_row: Array, scores: Array) -> None:
    """The scores as of each event: from this pass where the wallet got one, else as stored."""
    for n in range(len(stored)):
        if score_row[n] > 0:
            stored[n] = scores[score_row[n] - 1]

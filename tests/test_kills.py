"""Killed anywhere, nothing is lost and nothing is there twice."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.figures import Tell
from tests.rigs.failpoints import POINTS
from tests.rigs.killer import RECEIVER, Killer, doomed
from tests.rigs.receiver import WebhookReceiver

KILLS = int(os.environ.get("CHAINWARDEN_TEST_KILLS", "200"))
SEED = int(os.environ.get("CHAINWARDEN_TEST_SEED", "1"))
BLOCKS = 125  # the shortest chain in which there are forks and every kind of file


@pytest.mark.timeout(60 + 10 * KILLS)
def test_killed_anywhere_it_ends_as_if_undisturbed(tmp_path: Path, tell: Tell) -> None:
    """SIGKILL before and after every fsync, rename, commit, snapshot, POST, 2xx and ack, and at
    random instants: at every start ledger and lake agree and no file is torn; in the end alerts,
    cursor, lake, detector and what the receiver believes are those of a run without kills.
    """
    with doomed(tmp_path / "chain", SEED + 5, BLOCKS) as forks:
        tally = Killer(forks, tmp_path, SEED).run(KILLS)
    tell(str(tally))
    assert tally.trials >= KILLS
    assert tally.alerts
    if KILLS >= 200:
        reached = {place.partition(" ")[2] for place in tally.kills}
        assert len(reached & set(POINTS)) > 0.8 * len(POINTS), sorted(set(POINTS) - reached)
        # Accepted, and the sender does not know: killed before the 2xx, or it never came.
        assert tally.kills[RECEIVER] + tally.lost_answers


def test_a_post_that_a_kill_cut_off_is_none() -> None:
    """A receiver that got less than was announced has accepted nothing, and answers nothing."""
    head = b"POST /hook HTTP/1.1\r\nHost: here\r\nwebhook-id: a\r\nContent-Length: 20\r\n\r\n"
    with WebhookReceiver() as receiver:
        for sent in (head, head + b'{"type": '):
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as sender:
                sender.sendall(sent)
                sender.shutdown(socket.SHUT_WR)
                assert sender.recv(100) == b""
        assert receiver.received == []

"""Whom a wallet really pays: a bounded, compiled table of rings of recent peers, undone exactly.

A wallet's row holds the last 16 distinct wallets it sent real value to. Rows live in buckets of 8
ways behind a keyed hash; a full bucket gives up the row longest unwritten. Every write appends one
undo record, so a revert puts back the very bytes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.table import siphash

RING: Final = 16
WAYS: Final = 8
WORDS: Final = 5  # an address as big-endian uint32 words: word 0 holds its first 8 hex digits
REFRESH: Final = 1 << 16  # a row still in use is marked so after that many writes elsewhere

# What a flow is to this table; the caller decides it from kind, coin, value and signer.
IGNORE: Final = 0
REAL: Final = 1  # `from` sends real value to `to`
LURE_OUT: Final = 2  # somebody makes `from` appear to send to `to`: nothing, or a fake token
LURE_IN: Final = 3  # `from` sends dust or a fake token to `to`
LURE_EITHER: Final = 4  # a fake token, of which anyone may be made to look the sender

# What a hit is.
HIT_LURE: Final = 0  # `suspect` imitates a peer of `victim`, which never paid it
HIT_PAID: Final = 1  # a wallet that was lured pays somebody new, or pays a lookalike of a peer
# What is known of a payment that is a hit, as bits.
PAID_LOOKALIKE: Final = 1  # the receiver imitates a peer of the sender
PAID_AFTER_LURE: Final = 2  # the sender was lured before

# Columns of an undo record: the block, the slot, the ring place or -1, the row's state (how many
# peers, where the next one goes, whether it was lured), its stamp. Then columns of that state.
_SERIAL, _SLOT, _PLACE = 0, 1, 2
_ROW_CURSOR = 1


@compiled
def likeness(a: Array, b: Array) -> tuple[int, int, int]:
    """How two addresses look alike: leading and trailing hex digits in common, at most 8 each.

    The third number is how many of those are not zero: CREATE2 miners have zeros for gas, not to
    deceive.
    """
    lead, trail, solid = 0, 0, 0
    for place in range(8):
        shift = np.uint32(28 - 4 * place)
        x = (a[0] >> shift) & np.uint32(15)
        if x != ((b[0] >> shift) & np.uint32(15)):
            break
        lead += 1
        solid += x != 0
    for place in range(8):
        shift = np.uint32(4 * place)
        x = (a[4] >> shift) & np.uint32(15)
        if x != ((b[4] >> shift) & np.uint32(15)):
            break
        trail += 1
        solid += x != 0
    return lead, trail, solid


@compiled
def is_likeness(lead: int, trail: int, solid: int) -> bool:
    """Whether a person could take one for the other: 7 digits in all, or 2 + 3.

    2 + 3 is what the laziest of real poisoners make do with. Zeros hardly count.
    """
    return (lead + trail >= 7 and solid >= 6) or (lead >= 2 and trail >= 3 and solid >= 4)


@compiled
def is_close(lead: int, trail: int, solid: int) -> bool:
    """Whether it is no chance: 7 digits in all, none of them zero but one, or 4 + 4."""
    return (lead + trail >= 7 and solid >= 6) or (lead >= 4 and trail >= 4 and solid >= 6)


@compiled
def _same(a: Array, b: Array) -> bool:
    return bool(a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3] and a[4] == b[4])


@compiled
def _copy(target: Array, source: Array) -> None:
    # Word by word: assigning slices makes numba allocate.
    for word in range(5):
        target[word] = source[word]


@compiled
def _find(secret: Array, keys: Array, stamps: Array, wallet: Array) -> int:
    # The wallet's slot, or -1.
    first = np.int64(siphash(secret, wallet) % np.uint64(len(keys) // 8)) * 8
    for way in range(8):
        if stamps[first + way] > 0 and _same(keys[first + way], wallet):
            return int(first + way)
    return -1


@compiled
def _room(secret: Array, keys: Array, stamps: Array, wallet: Array) -> int:
    # Where the wallet's row goes: a free way, or the way longest unwritten.
    first = np.int64(siphash(secret, wallet) % np.uint64(len(keys) // 8)) * 8
    best = 0
    for way in range(1, 8):
        if stamps[first + way] < stamps[first + best]:
            best = way
    return int(first + best)


@compiled
def _knows(rings: Array, count: int, slot: int, peer: Array) -> bool:
    place = 0
    while place < count and not _same(rings[slot, place], peer):
        place += 1
    return place < count


@compiled
def _imitated(rings: Array, count: int, cursor: int, slot: int, suspect: Array) -> int:
    # The peer the suspect resembles most, or -1; of several alike the one met last, which is what
    # poisoners react to.
    best, best_solid = -1, 0
    for back in range(1, count + 1):
        place = (cursor - back) % 16
        lead, trail, solid = likeness(rings[slot, place], suspect)
        if solid > best_solid and is_likeness(lead, trail, solid):
            best, best_solid = place, solid
    return best


@compiled
def _note(
    log: Array, old: Array, at: int, serial: int, slot: int, place: int,
    keys: Array, stamps: Array, state: Array, rings: Array,
) -> None:  # fmt: skip
    # The undo record of a write to come.
    log[at, 0], log[at, 1], log[at, 2] = serial, slot, place
    log[at, 3], log[at, 4], log[at, 5] = state[slot, 0], state[slot, 1], state[slot, 2]
    log[at, 6] = stamps[slot]
    _copy(old[at, 0], keys[slot])
    if place >= 0:
        _copy(old[at, 1], rings[slot, place])


@compiled
def _related(
    secret: Array, keys: Array, stamps: Array, state: Array, rings: Array, a: Array, b: Array
) -> bool:
    # Whether one of the two really paid the other: then they know each other.
    slot = _find(secret, keys, stamps, a)
    if slot >= 0 and _knows(rings, state[slot, 0], slot, b):
        return True
    slot = _find(secret, keys, stamps, b)
    return slot >= 0 and _knows(rings, state[slot, 0], slot, a)


@compiled
def scan(
    senders: Array, receivers: Array, actions: Array, serials: Array,
    secret: Array, keys: Array, stamps: Array, state: Array, rings: Array,
    log: Array, old: Array, clock: Array, hits: Array, imitated: Array,
) -> int:  # fmt: skip
    """One pass over the flows, in chain order; how many hits there are.

    ``senders``, ``receivers`` uint32 (n, 5); ``actions`` int8; ``serials`` int64. The table:
    ``keys`` uint32 (slots, 5), ``stamps`` int64 (0: free), ``state`` int32 (slots, 3), ``rings``
    uint32 (slots, 16, 5). ``log`` and ``old`` have room for two records a flow; ``clock`` int64
    (2,): the stamp given last, the records in use. Each hit has its flow, what it is, and a word
    more: for a lure 1 if the receiver is the victim, for a payment ``PAID_LOOKALIKE`` (then
    ``imitated`` names the peer) and ``PAID_AFTER_LURE``.
    """
    found = 0
    for row in range(len(actions)):
        action = actions[row]
        if action == 0:
            continue
        serial = serials[row]
        if action == 1:
            sender, receiver = senders[row], receivers[row]
            slot = _find(secret, keys, stamps, sender)
            if slot >= 0:
                if _knows(rings, state[slot, 0], slot, receiver):
                    if clock[0] - stamps[slot] > 65536:
                        _note(log, old, clock[1], serial, slot, -1, keys, stamps, state, rings)
                        clock[0] += 1
                        clock[1] += 1
                        stamps[slot] = clock[0]
                    continue
                place = _imitated(rings, state[slot, 0], state[slot, 1], slot, receiver)
                if place >= 0 or state[slot, 2] != 0:
                    if place >= 0:
                        _copy(imitated[found], rings[slot, place])
                    hits[found, 0], hits[found, 1] = row, 1
                    hits[found, 2] = (place >= 0) | (2 * (state[slot, 2] != 0))
                    found += 1
            else:
                slot = _room(secret, keys, stamps, sender)
            fresh = stamps[slot] == 0 or not _same(keys[slot], sender)
            place = 0 if fresh else int(state[slot, 1])
            _note(log, old, clock[1], serial, slot, place, keys, stamps, state, rings)
            clock[0] += 1
            clock[1] += 1
            stamps[slot] = clock[0]
            if fresh:
                _copy(keys[slot], sender)
                state[slot, 0], state[slot, 1], state[slot, 2] = 0, 0, 0
            _copy(rings[slot, place], receiver)
            state[slot, 1] = (place + 1) % 16
            if state[slot, 0] < 16:
                state[slot, 0] += 1
            continue
        for side in range(2):
            if action == 3 - side:
                continue  # LURE_IN has no side 0, LURE_OUT none 1
            if side == 0:
                victim, suspect = senders[row], receivers[row]
            else:
                victim, suspect = receivers[row], senders[row]
            slot = _find(secret, keys, stamps, victim)
            if slot < 0 or _knows(rings, state[slot, 0], slot, suspect):
                continue
            place = _imitated(rings, state[slot, 0], state[slot, 1], slot, suspect)
            if place < 0:
                continue
            # Not a stranger in disguise: the imitated wallet deals with the "imitator", or the
            # three look alike because one owner mined them all.
            if _related(secret, keys, stamps, state, rings, suspect, rings[slot, place]):
                continue
            lead, trail, solid = likeness(victim, suspect)
            if is_likeness(lead, trail, solid):
                continue
            _copy(imitated[found], rings[slot, place])
            hits[found, 0], hits[found, 1], hits[found, 2] = row, 0, side
            found += 1
            if state[slot, 2] == 0:
                _note(log, old, clock[1], serial, slot, -1, keys, stamps, state, rings)
                clock[0] += 1
                clock[1] += 1
                stamps[slot] = clock[0]
                state[slot, 2] = 1
    return found


@compiled
def undo(
    log: Array, old: Array, clock: Array, serial: int,
    keys: Array, stamps: Array, state: Array, rings: Array,
) -> None:  # fmt: skip
    """Take back every record of the block with that serial, newest first."""
    while clock[1] > 0 and log[clock[1] - 1, 0] == serial:
        clock[1] -= 1
        clock[0] -= 1
        at = clock[1]
        slot, place = log[at, 1], log[at, 2]
        _copy(keys[slot], old[at, 0])
        if place >= 0:
            _copy(rings[slot, place], old[at, 1])
        state[slot, 0], state[slot, 1], state[slot, 2] = log[at, 3], log[at, 4], log[at, 5]
        stamps[slot] = log[at, 6]


class PeerRings:
    """The table: at most ``wallets`` rows of 16 peers, about 400 bytes each.

    ``secret`` keys the hash: two unsigned 64-bit numbers an attacker does not know keep him from
    crowding a bucket with mined addresses.
    """

    def __init__(self, wallets: int, secret: tuple[int, int]) -> None:
        if wallets < WAYS:
            raise ValueError(f"room for at least {WAYS} wallets is needed")
        slots = wallets // WAYS * WAYS
        self._secret = np.array(secret, np.uint64)
        self._keys = np.zeros((slots, WORDS), np.uint32)
        self._stamps = np.zeros(slots, np.int64)
        self._state = np.zeros((slots, 3), np.int32)
        self._rings = np.zeros((slots, RING, WORDS), np.uint32)
        self._clock = np.zeros(2, np.int64)
        self._log = np.zeros((1024, 7), np.int64)
        self._old = np.zeros((1024, 2, WORDS), np.uint32)

    def __len__(self) -> int:
        """How many wallets have a row."""
        return int(np.count_nonzero(self._stamps))

    def scan(
        self, senders: Array, receivers: Array, actions: Array, serials: Array
    ) -> tuple[Array, Array]:
        """Take flows in chain order; the hits and, per hit, the peer that was imitated.

        A hit is (flow, ``HIT_LURE``, whether the receiver is the victim) or (flow, ``HIT_PAID``,
        ``PAID_LOOKALIKE`` and ``PAID_AFTER_LURE`` as they hold).
        """
        active = np.flatnonzero(actions)
        if not len(active):
            return np.empty((0, 3), np.int64), np.empty((0, WORDS), np.uint32)
        self._reserve(2 * len(active))
        hits = np.empty((2 * len(active), 3), np.int64)
        imitated = np.zeros((2 * len(active), WORDS), np.uint32)
        found = scan(
            senders[active], receivers[active], actions[active], serials[active],
            self._secret, self._keys, self._stamps, self._state, self._rings,
            self._log, self._old, self._clock, hits, imitated,
        )  # fmt: skip
        hits = hits[:found]
        hits[:, 0] = active[hits[:, 0]]
        return hits, imitated[:found]

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        undo(
            self._log, self._old, self._clock, serial,
            self._keys, self._stamps, self._state, self._rings,
        )  # fmt: skip

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        used = int(self._clock[1])
        gone = int(np.searchsorted(self._log[:used, _SERIAL], serial, "right"))
        if gone:
            self._log[: used - gone] = self._log[gone:used].copy()
            self._old[: used - gone] = self._old[gone:used].copy()
            self._clock[1] = used - gone

    def dump(self) -> object:
        """The rows in use and the undo."""
        slots = np.flatnonzero(self._stamps)
        used = int(self._clock[1])
        # A row that an undo record speaks of may be free now, but its old bytes still matter.
        slots = np.union1d(slots, self._log[:used, _SLOT]).astype(np.int64)
        return [
            len(self._stamps),
            self._secret.tobytes(),
            self._clock.tobytes(),
            slots.tobytes(),
            self._keys[slots].tobytes(),
            self._stamps[slots].tobytes(),
            self._state[slots].tobytes(),
            self._rings[slots].tobytes(),
            self._log[:used].tobytes(),
            self._old[:used].tobytes(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of a table of the same size and secret."""
        total, secret, clock, slots, keys, stamps, rows, rings, log, old = state
        if total != len(self._stamps) or secret != self._secret.tobytes():
            raise ValueError("a ring table of another size or secret")
        at = np.frombuffer(slots, np.int64)
        times = np.frombuffer(clock, np.int64)
        if len(times) != 2 or (len(at) and (at.min() < 0 or at.max() >= total)):
            raise ValueError("a ring table that is not whole")
        count, used = len(at), int(times[1])
        new_keys = np.frombuffer(keys, np.uint32).reshape(count, WORDS)
        new_stamps = np.frombuffer(stamps, np.int64).reshape(count)
        new_state = np.frombuffer(rows, np.int32).reshape(count, 3)
        new_rings = np.frombuffer(rings, np.uint32).reshape(count, RING, WORDS)
        new_log = np.frombuffer(log, np.int64).reshape(used, 7)
        new_old = np.frombuffer(old, np.uint32).reshape(used, 2, WORDS)
        fits = (
            ((new_state >= 0) & (new_state <= RING)).all()
            and (new_state[:, _ROW_CURSOR] < RING).all()
            and ((new_log[:, _SLOT] >= 0) & (new_log[:, _SLOT] < total)).all()
            and (new_log[:, _PLACE] < RING).all()
        )
        if not fits:
            raise ValueError("a ring table with rows that cannot be")
        for array in (self._keys, self._stamps, self._state, self._rings):
            array[:] = 0
        self._keys[at], self._stamps[at] = new_keys, new_stamps
        self._state[at], self._rings[at] = new_state, new_rings
        self._clock[:] = (times[0], 0)
        self._reserve(used)
        self._log[:used], self._old[:used] = new_log, new_old
        self._clock[1] = used

    def content(self) -> bytes:
        """The rows in use, undo excluded."""
        slots = np.flatnonzero(self._stamps)
        return msgspec.msgpack.encode(
            [
                len(self._stamps),
                int(self._clock[0]),
                slots.tobytes(),
                self._keys[slots].tobytes(),
                self._stamps[slots].tobytes(),
                self._state[slots].tobytes(),
                self._rings[slots].tobytes(),
            ]
        )

    def _reserve(self, records: int) -> None:
        # Room for that many records behind those in use.
        needed = int(self._clock[1]) + records
        if needed > len(self._log):
            size = 1 << (needed - 1).bit_length()
            for name in ("_log", "_old"):
                array = getattr(self, name)
                grown = np.zeros((size, *array.shape[1:]), array.dtype)
                grown[: len(array)] = array
                setattr(self, name, grown)

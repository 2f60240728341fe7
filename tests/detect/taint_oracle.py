"""Taint, followed slowly: dicts of floats and of lots, one rule at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

BAD, SINK, MIXER, TELLS = 1, 2, 4, 8


@dataclass(frozen=True)
class Flow:
    """One payment; wallets are numbers."""

    sender: int
    receiver: int
    units: float
    coin: int = 0
    sender_is: int = 0
    receiver_is: int = 0
    block: int = 0
    time: int = 0
    sender_held: float = 0.0
    receiver_held: float = 0.0


@dataclass
class Slow:
    """Haircut and FIFO without bounds; taint by class, and lots of (amount, taint, origin)."""

    floor: float
    share: float
    taint: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    balance: dict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))
    lots: dict[tuple[int, int], list[list[float]]] = field(default_factory=dict)
    absorbed: float = 0.0
    dropped: float = 0.0

    def haircut(self, f: Flow) -> float:
        """Move one flow; what it carried."""
        sender, receiver = (f.sender, f.coin), (f.receiver, f.coin)
        if f.sender_is:
            carried = [f.units, 0.0] if f.sender_is & BAD else [0.0, f.units]
        elif sender in self.taint:
            mine = self.taint[sender]
            held = max(f.sender_held if f.coin == 0 else self.balance[sender], sum(mine))
            part = 1.0 if f.units >= held else f.units / held
            carried = [part * t for t in mine]
            self.taint[sender] = [t - c for t, c in zip(mine, carried, strict=True)]
            self.balance[sender] = max(0.0, self.balance[sender] - f.units)
            if sum(self.taint[sender]) < self.floor:
                self.dropped += sum(self.taint[sender])
                self.taint[sender] = [0.0, 0.0]
        else:
            carried = [0.0, 0.0]
        if sum(carried) < max(self.floor, self.share * f.units):
            self.dropped += sum(carried)
            carried = [0.0, 0.0]
        if f.receiver_is:
            self.absorbed += sum(carried)
            return sum(carried)
        if sum(carried) > 0.0:
            self.taint.setdefault(receiver, [0.0, 0.0])
        if receiver in self.taint:
            self.taint[receiver] = [
                t + c for t, c in zip(self.taint[receiver], carried, strict=True)
            ]
            self.balance[receiver] += f.units
        return sum(carried)

    def fifo(self, f: Flow) -> float:
        """Move one flow, oldest lots first; what it carried."""
        sender, receiver = (f.sender, f.coin), (f.receiver, f.coin)
        if f.sender_is:
            moved = [[f.units, f.units, 1000 + f.sender]]
        else:
            moved, left = [], f.units
            queue = self.lots.get(sender, [])
            while queue and left > 0.0:
                amount, taint, origin = queue[0]
                if amount <= left:
                    moved.append(queue.pop(0))
                    left -= amount
                else:
                    part = taint * (left / amount)
                    moved.append([left, part, origin])
                    queue[0] = [amount - left, taint - part, origin]
                    left = 0.0
            if left > 0.0:
                moved.append([left, 0.0, 0])
        fifo = sum(taint for _, taint, _ in moved)
        if fifo < max(self.floor, self.share * f.units):
            moved = [[amount, 0.0, 0] for amount, _, _ in moved]
            fifo = 0.0
        if f.receiver_is:
            return fifo
        if receiver not in self.lots and fifo > 0.0:
            clean = f.receiver_held if f.coin == 0 else 0.0
            self.lots[receiver] = [[clean, 0.0, 0]] if clean else []
        if receiver in self.lots:
            for amount, taint, origin in moved:
                queue = self.lots[receiver]
                if queue and queue[-1][2] == origin:
                    queue[-1][0] += amount
                    queue[-1][1] += taint
                else:
                    queue.append([amount, taint, origin])
        return fifo

"""``chainwarden audit``: in the ledger, or by the process that has it open."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from chainwarden.asking import Asked, ask
from chainwarden.errors import LedgerAltered, RequestRefused, SettingsError, StoreError
from chainwarden.report.words import moment
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from store.audit_seal import Seal, read_seal, seal, signer_of


@dataclass(frozen=True, slots=True)
class Act:
    """``seal``, or ``verify`` against some seals; ``signer`` is who must have signed them."""

    word: str
    seals: Sequence[Path]
    signer: str


@dataclass(frozen=True, slots=True)
class Held:
    """A seal, and why the ledger does not hold to it; empty: it does."""

    path: Path
    seal: Seal
    why: str


def audit(act: Act, *, config: Path | None, flags: Mapping[str, object], json: bool) -> None:
    """Sign where the audit chain ends, or verify the ledger against it.

    Raises LedgerAltered where something is not as it was written, or as it was sealed.
    """
    if act.word not in ("seal", "verify"):
        raise SettingsError(f"audit cannot {act.word!r}", hint="seal, or verify")
    settings = load_settings(config, os.environ, flags)
    out = Path(settings.store.out)
    with ask(settings) as asked:
        if act.word == "seal":
            end = asked.audit()
            signed = seal(
                out, end["ledger"], end["chain"], end["entries"], end["digest"], time.time()
            )
            print_json(msgspec.structs.asdict(signed))
            return
        signer = act.signer or signer_of(out)
        held = [_held(path, asked, signer) for path in act.seals]
        found = asked.verify()
    if json:
        seals = [{"file": str(one.path), "holds": not one.why, "why": one.why} for one in held]
        print_json({**found, "seals": seals})
    else:
        _show(found, held)
    broken = len(found["faults"]) + sum(bool(one.why) for one in held)
    if broken:
        many = "more than " if found["more"] else ""
        raise LedgerAltered(
            f"not as it was written: {many}{broken} of the records, entries and seals",
            hint="keep the folder as it is; a ledger made by `chainwarden replay` tells the rest",
        )


def _held(path: Path, asked: Asked, signer: str | None) -> Held:
    """Whether a ledger holds to the seal in a file."""
    try:
        told = read_seal(path)
    except StoreError as error:
        raise SettingsError(error.message, hint=error.hint) from error
    return Held(path, told, _broken(told, asked, signer))


def _broken(told: Seal, asked: Asked, signer: str | None) -> str:
    if signer is not None and told.signer.lower() != signer.lower():
        return f"{told.signer} signed it, not {signer}"
    now = asked.audit()
    if told.ledger != now["ledger"]:
        return f"it is of ledger {told.ledger}; this is {now['ledger']}, perhaps made anew since"
    try:
        then = asked.audit(told.entries)
    except RequestRefused:
        return f"the chain ended with {told.entries} entries then, it has {now['entries']} now"
    return "" if then["digest"] == told.digest else "the entries up to there are not those"


def _show(found: dict[str, Any], held: Sequence[Held]) -> None:
    print_line(f"{found['entries']:,} entries follow from one another, up to {found['digest']}.")
    for one in held:
        when = f"{moment(one.seal.sealed_at)} UTC by {one.seal.signer}"
        outcome = f"NOT so: {one.why}" if one.why else "so"
        print_line(f"{one.path}: {one.seal.entries:,} entries, sealed {when}: {outcome}.")
    if not found["faults"]:
        print_line("Every record is as it was written.")
        return
    rows = [(one["kind"], one["key"], one["what"]) for one in found["faults"]]
    print_table("What does not hold", ("what", "which", "how"), rows)
    if found["more"]:
        print_line("There is more.")

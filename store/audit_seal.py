"""A seal: where the audit chain stood at a time, signed, to be kept where the ledger is not.

Whoever can write the ledger's file can make its chain anew, too; what he cannot do is make it end
in a digest that somebody else has kept. A seal is signed as any wallet signs a message (EIP-191,
``personal_sign``) so that whoever knows the signer's address can check it without chainwarden.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from msgspec import Meta

from chainwarden.errors import StoreError
from store.private_key import private_key

KEY_FILE: Final = "audit.key"
_KEY_BYTES: Final = 32
_LARGEST: Final = 64 * 1024
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a ledger's audit chain had so many entries, the last with that digest.

    ``sealed_at`` is wall clock, in seconds since 1970; ``signer`` an address; ``signature`` 65
    bytes as hex digits.
    """

    ledger: Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
    chain: Annotated[str, Meta(pattern=r"^[^\n]*$")]
    entries: Annotated[int, Meta(ge=0)]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    sealed_at: Annotated[int, Meta(ge=0, le=_LAST_SECOND)]
    signer: Annotated[str, Meta(pattern="^0x[0-9a-fA-F]{40}$")]
    signature: Annotated[str, Meta(pattern="^0x[0-9a-f]{130}$")]

    @property
    def message(self) -> str:
        """What is signed."""
        when = datetime.fromtimestamp(self.sealed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f"chainwarden audit seal\nledger: {self.ledger}\nchain: {self.chain}\n"
            f"entries: {self.entries}\ndigest: {self.digest}\nat: {when}"
        )


def seal(out: Path, ledger: str, chain: str, entries: int, digest: str, now: float) -> Seal:
    """The seal, signed with the key of a results' folder, which is made where there is none."""
    key = _key(out)
    signer: str = Account.from_key(key).address
    unsigned = Seal(ledger, chain, entries, digest, int(now), signer, "")
    signed = Account.sign_message(encode_defunct(text=unsigned.message), key)
    return msgspec.structs.replace(unsigned, signature="0x" + bytes(signed.signature).hex())


def signer_of(out: Path) -> str | None:
    """The address by which seals of a results' folder are signed; None where none ever was."""
    return str(Account.from_key(_key(out)).address) if (out / KEY_FILE).exists() else None


def read_seal(path: Path) -> Seal:
    """The seal in a file, whose signature is its signer's.

    Raises StoreError where it is none, and where what it says is not what was signed.
    """
    try:
        with path.open("rb") as file:
            read = msgspec.json.decode(file.read(_LARGEST), type=Seal)
        signer = Account.recover_message(
            encode_defunct(text=read.message), signature=read.signature
        )
    except (OSError, ValueError, msgspec.MsgspecError, BadSignature, ValidationError) as error:
        raise StoreError(f"{path} is no seal: {error}") from error
    if signer.lower() != read.signer.lower():
        raise StoreError(
            f"{path} was changed: {read.signer} did not sign that", hint="take another copy of it"
        )
    return read


def _key(out: Path) -> bytes:
    hint = "delete it: seals are signed by another address from then on"
    return private_key(out / KEY_FILE, _KEY_BYTES, hint)

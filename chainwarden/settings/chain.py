"""Which chain the settings mean."""

from __future__ import annotations

from chainwarden.errors import SettingsError
from chainwarden.schema import ETHEREUM, Chain
from chainwarden.settings.sections import Settings


def configured_chain(settings: Settings) -> Chain:
    """The chain of the settings, Ethereum where they say nothing."""
    if not settings.chain and settings.chain_id is None:
        return ETHEREUM
    name = settings.chain or f"chain-{settings.chain_id}"
    if settings.chain_id is None:
        if name != ETHEREUM.name:
            raise SettingsError(f"the id of chain {name} is not known", hint="set chain_id")
        return ETHEREUM
    return Chain(name, settings.chain_id)

"""The label list of a simulated world: what an analyst would have loaded before the run."""

from __future__ import annotations

from typing import Final

from chainwarden.schema import Chain
from ingest.codec import contract_address
from ingest.simulate.contracts import At
from ingest.simulate.world import World

COLUMNS: Final = (
    "address",
    "label",
    "source",
    "valid_from",
    "valid_to",
    "chain",
    "author",
    "note",
)
YEAR: Final = 31_536_000
MONTH: Final = YEAR // 12
NAMED_AFTER: Final = 300  # seconds until an attack's first contract is in lists

_CONTRACTS: Final = (
    ("router", "Uniswap V2 router", At.V2_ROUTER),
    ("router", "Uniswap universal router", At.UNIVERSAL_ROUTER),
    ("router", "1inch", At.ONE_INCH),
    ("router", "Permit2", At.PERMIT2),
    ("marketplace", "Seaport", At.SEAPORT),
    ("marketplace", "OpenSea conduit", At.OPENSEA_CONDUIT),
    ("service", "Disperse", At.DISPERSE),
    ("service", "Safe MultiSend", At.MULTI_SEND),
    ("bridge", "Base portal", At.BASE_PORTAL),
    ("mixer", "Tornado Cash router", At.TORNADO_ROUTER),
    ("mixer", "Tornado Cash 1 ETH", At.TORNADO_1),
    ("mixer", "Tornado Cash 10 ETH", At.TORNADO_10),
    ("mixer", "Tornado Cash 100 ETH", At.TORNADO_100),
    ("token", "USDT", At.USDT),
    ("token", "USDC", At.USDC),
    ("token", "DAI", At.DAI),
    ("token", "WETH", At.WETH),
    ("token", "WBTC", At.WBTC),
)


def labels_of(world: World, chain: Chain, start: int) -> list[tuple[str, ...]]:
    """The rows, in the order of ``COLUMNS``; an empty ``valid_to`` means it still holds.

    ``start`` is the run's first second. No attacker is among them but the sanctioned and thieves of
    an earlier theft; one of each was delisted, or cleared, a month before the run. Three contracts
    that are deployed as it begins are called exploits a little later.
    """
    rows = [(address, label, note, 0, "") for label, note, address in _CONTRACTS]
    for exchange in world.exchanges:
        rows += [(wallet.address, "exchange", exchange.name, 0, "") for wallet in exchange.hot]
        rows.append((exchange.gas.address, "exchange", f"{exchange.name} gas", 0, ""))
        rows.append((exchange.cold.address, "exchange", f"{exchange.name} cold", 0, ""))
    services = world.services
    for note, address in (
        ("payroll", services.payroll.address),
        ("faucet", services.faucet.address),
        ("relayer", services.relayer.address),
        ("relay contract", services.relay_contract),
        ("biller", services.biller.address),
        ("billing contract", services.billing_contract),
        ("rollup", services.rollup.address),
        ("price oracle", services.oracle.address),
        ("Tornado Cash relayer", services.tornado_relayer.address),
        ("USDT issuer", services.usdt_issuer.address),
        ("USDC issuer", services.usdc_issuer.address),
        ("donations", world.donation.address),
        ("sanctions oracle's keeper", world.list_keeper.address),
    ):
        rows.append((address, "service", note, 0, ""))
    for number, bot in enumerate(world.bots):
        rows.append((bot.address, "bot", f"MEV bot {number + 1}", 0, ""))
        rows.append((world.bot_contracts[number], "bot", f"MEV bot {number + 1} contract", 0, ""))
    for wallet in world.sanctioned:
        rows.append((wallet.address, "sanctioned", "simulated list", start - YEAR, ""))
    delisted = (start - 2 * YEAR, str(start - YEAR // 12))
    rows.append((world.delisted.address, "sanctioned", "simulated list, delisted", *delisted))
    for wallet in world.thieves:
        rows.append((wallet.address, "exploit", "simulated theft of last month", start - MONTH, ""))
    for exploiter in world.exploiters:
        contract = contract_address(exploiter.address, 0)
        rows.append((contract, "exploit", "simulated attack contract", start + NAMED_AFTER, ""))
    cleared = (start - YEAR, str(start - MONTH))
    rows.append((world.cleared.address, "exploit", "simulated, cleared", *cleared))
    return [
        ("0x" + address.hex(), label, "simulator", str(since), until, chain.name, "", note)
        for address, label, note, since, until in rows
    ]

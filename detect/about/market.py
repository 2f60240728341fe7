"""Order flow and block space."""

from __future__ import annotations

from typing import Final

from detect.about.text import About

ABOUT: Final[dict[str, About]] = {
    "rug_pull": About(
        "Those who made a token took out what others had paid into its pool.",
        (
            "a migration: the liquidity goes into a new pool of the same team within hours",
            "a team that sells what it said it would, on a schedule",
            "a locker or a market maker that acts for the team and is on no list yet",
        ),
        "Look whether the money comes back into a pool; if it is cashed out, warn the buyers.",
        "rug_pull",
    ),
    "honeypot": About(
        "A token can be bought, and not sold, or only at a ruinous tax.",
        (
            "a launch that opens trading late, or taxes bots in its first minutes",
            "a token of which nobody wants to sell yet",
        ),
        "Try a sale against the node (eth_call) from a buyer's wallet; warn before buying.",
        "honeypot",
    ),
    "wash_trading": About(
        "Few wallets sold one another the same thing, so that it looks wanted.",
        (
            "friends or a guild that lend things to one another",
            "a market maker or a game whose wallets are on no list yet",
        ),
        "Look who funded the wallets and where the fees come back; do not trust the volume.",
        "wash_trading",
    ),
    "sandwich": About(
        "Somebody bought right before a victim's trade and sold right after it.",
        (
            "two trades of a market maker that happen to stand around a stranger's",
            "an arbitrage that was there anyway",
        ),
        "This is MEV and no theft: tell users to trade with slippage limits or privately.",
        "mev",
    ),
    "jit_liquidity": About(
        "Liquidity was put into a pool before somebody's trade and taken out after it.",
        ("nobody was robbed: the trader had a better price, other providers lost the fee",),
        "Nothing to do; it is context for whoever provides liquidity.",
        "mev",
    ),
    "base_fee_spike": About(
        "The base fee is far above what it is at this hour of the week.",
        ("a popular mint, launch or airdrop", "a crash, in which everybody trades at once"),
        "See what fills the blocks: one contract with many small calls is spam or an attack.",
    ),
    "gas_hog": About(
        "One contract takes a large part of the gas of block after block.",
        ("a popular mint, launch or game", "a new exchange or rollup that is on no list yet"),
        "Count the senders: few with many calls is spam, as many as calls is a crowd.",
    ),
    "failure_spike": About(
        "Far more transactions fail than is usual on this chain.",
        (
            "a mint or a launch that was over before most calls came",
            "bots that race for the same gain: all but one of them fail",
        ),
        "See what is called and by how many: a contract under attack fails for everybody.",
    ),
    "selector_spike": About(
        "One function is called far more often than is usual on this chain.",
        ("an airdrop's first hours, or a popular mint", "a new wallet or game with one function"),
        "See what the function does, and whether few senders make the calls.",
    ),
    "full_blocks": About(
        "Blocks are full one after another.",
        ("a popular mint, launch or airdrop", "a builder that catches up after missed slots"),
        "See what fills the blocks; expect payments to wait.",
    ),
    "flash_loan": About(
        "Somebody borrowed for one transaction and left with more than he came with.",
        (
            "arbitrage between pools, or a liquidation",
            "a searcher's known contract that is on no list yet",
        ),
        "See whose balance paid for the gain, and how old the contract is that took the loan.",
        "exploit",
    ),
    "ponzi": About(
        "A contract pays earlier investors with what later ones bring, and with nothing else.",
        (
            "staking or a savings contract whose income is not in view",
            "a lottery or a game that says what it is",
        ),
        "See whether anything but deposits flows in, and what share the first investors took.",
        "ponzi",
    ),
}

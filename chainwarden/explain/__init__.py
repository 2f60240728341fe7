"""One alert or one wallet on one screen: what an analyst needs to decide whether it is right."""

from chainwarden.explain.gather import Explainer
from chainwarden.explain.page import page
from chainwarden.explain.wallet_page import wallet_page
from chainwarden.explain.wallets import WalletPages

__all__ = ["Explainer", "WalletPages", "page", "wallet_page"]

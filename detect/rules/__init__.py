"""One file per typology; each is a ``Rule``. ``default_rules`` makes all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainwarden.schema import Chain
from detect.labels import LabelBook
from detect.rules.address_poisoning import AddressPoisoning, PoisoningConfig
from detect.rules.builders import Builders, BuildersConfig
from detect.rules.chain_labels import ChainLabels, ChainLabelsConfig
from detect.rules.columns import ColumnCache
from detect.rules.contract_takeover import ContractTakeover, ContractTakeoverConfig
from detect.rules.delegates import SweeperConfig
from detect.rules.disruption import Disruption, DisruptionConfig
from detect.rules.double_spend import DoubleSpend, DoubleSpendConfig
from detect.rules.drainer_split import DrainerSplit, DrainerSplitConfig
from detect.rules.dusting import Dusting, DustingConfig
from detect.rules.empty_blocks import EmptyBlocks, EmptyBlocksConfig
from detect.rules.exchange_drain import ExchangeDrain, ExchangeDrainConfig
from detect.rules.fee_market import FeeMarket, FeeMarketConfig
from detect.rules.finality_delay import FinalityConfig, FinalityDelay
from detect.rules.flash_loan import FlashLoanConfig, FlashLoanExploit
from detect.rules.gas_use import GasUse, GasUseConfig
from detect.rules.ice_phishing import IcePhishing, IcePhishingConfig
from detect.rules.issuer_freeze import IssuerFreeze, IssuerFreezeConfig
from detect.rules.key_compromise import KeyCompromise, KeyCompromiseConfig
from detect.rules.layering import Layering, LayeringConfig
from detect.rules.malicious_deployment import MaliciousDeployment, MaliciousDeploymentConfig
from detect.rules.marketplace_phishing import MarketplaceConfig, MarketplacePhishing
from detect.rules.missed_slots import MissedSlots, MissedSlotsConfig
from detect.rules.mixer_link import MixerLink, MixerLinkConfig
from detect.rules.mixer_touch import MixerConfig, MixerTouch
from detect.rules.native_claim import NativeClaim, NativeClaimConfig
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.phishing_wallet import PhishingWallet, PhishingWalletConfig
from detect.rules.ponzi import Ponzi, PonziConfig
from detect.rules.pool_events import PoolCache
from detect.rules.reorg_depth import ReorgDepth, ReorgDepthConfig
from detect.rules.rule import Finding, Rule
from detect.rules.safe_delegatecall import SafeDelegatecall, SafeDelegatecallConfig
from detect.rules.sanctions_touch import SanctionsConfig, SanctionsTouch
from detect.rules.sandwich import Sandwich, SandwichConfig
from detect.rules.signature_phishing import SignaturePhishing, SignaturePhishingConfig
from detect.rules.standing import Standings
from detect.rules.sweeper_delegation import SweeperDelegation
from detect.rules.sybil import Sybil, SybilConfig
from detect.rules.taint import Taint
from detect.rules.taint_ledger import TaintConfig
from detect.rules.token_launch import TokenLaunch, TokenLaunchConfig
from detect.rules.wash_trading import WashConfig, WashTrading

__all__ = ["Finding", "Rule", "RulesConfig", "default_rules"]


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """The thresholds and bounds of every rule. ``hash_key``: as the detector's."""

    chain_labels: ChainLabelsConfig = field(default_factory=ChainLabelsConfig)
    safe_delegatecall: SafeDelegatecallConfig = field(default_factory=SafeDelegatecallConfig)
    contract_takeover: ContractTakeoverConfig = field(default_factory=ContractTakeoverConfig)
    sanctions_touch: SanctionsConfig = field(default_factory=SanctionsConfig)
    issuer_freeze: IssuerFreezeConfig = field(default_factory=IssuerFreezeConfig)
    mixer_touch: MixerConfig = field(default_factory=MixerConfig)
    address_poisoning: PoisoningConfig = field(default_factory=PoisoningConfig)
    ice_phishing: IcePhishingConfig = field(default_factory=IcePhishingConfig)
    signature_phishing: SignaturePhishingConfig = field(default_factory=SignaturePhishingConfig)
    exchange_drain: ExchangeDrainConfig = field(default_factory=ExchangeDrainConfig)
    marketplace_phishing: MarketplaceConfig = field(default_factory=MarketplaceConfig)
    drainer_split: DrainerSplitConfig = field(default_factory=DrainerSplitConfig)
    sweeper_delegation: SweeperConfig = field(default_factory=SweeperConfig)
    wash_trading: WashConfig = field(default_factory=WashConfig)
    native_claim: NativeClaimConfig = field(default_factory=NativeClaimConfig)
    missed_slots: MissedSlotsConfig = field(default_factory=MissedSlotsConfig)
    reorg_depth: ReorgDepthConfig = field(default_factory=ReorgDepthConfig)
    double_spend: DoubleSpendConfig = field(default_factory=DoubleSpendConfig)
    finality_delay: FinalityConfig = field(default_factory=FinalityConfig)
    fee_market: FeeMarketConfig = field(default_factory=FeeMarketConfig)
    builders: BuildersConfig = field(default_factory=BuildersConfig)
    empty_blocks: EmptyBlocksConfig = field(default_factory=EmptyBlocksConfig)
    gas_use: GasUseConfig = field(default_factory=GasUseConfig)
    disruption: DisruptionConfig = field(default_factory=DisruptionConfig)
    sandwich: SandwichConfig = field(default_factory=SandwichConfig)
    mixer_link: MixerLinkConfig = field(default_factory=MixerLinkConfig)
    taint: TaintConfig = field(default_factory=TaintConfig)
    layering: LayeringConfig = field(default_factory=LayeringConfig)
    hash_key: bytes = bytes(16)
    token_launch: TokenLaunchConfig = field(default_factory=TokenLaunchConfig)
    key_compromise: KeyCompromiseConfig = field(default_factory=KeyCompromiseConfig)
    phishing_wallet: PhishingWalletConfig = field(default_factory=PhishingWalletConfig)
    sybil: SybilConfig = field(default_factory=SybilConfig)
    dusting: DustingConfig = field(default_factory=DustingConfig)
    flash_loan: FlashLoanConfig = field(default_factory=FlashLoanConfig)
    ponzi: PonziConfig = field(default_factory=PonziConfig)
    malicious_deployment: MaliciousDeploymentConfig = field(
        default_factory=MaliciousDeploymentConfig
    )


def default_rules(
    labels: LabelBook,
    chain: Chain,
    config: RulesConfig | None = None,
    node: NodeCalls = WITHOUT_NODE,
) -> list[Rule]:
    """Every rule for that chain, sharing one set of columns per batch.

    ``node`` answers what is not in view; without one, rules say less (see ``detect.rules.node``).
    """
    config, cache = config or RulesConfig(), ColumnCache()
    pools = PoolCache(cache)
    standings = Standings(labels, config.hash_key)
    return [
        ChainLabels(labels, chain, cache, config.chain_labels),  # first: see there
        SafeDelegatecall(cache, config.safe_delegatecall),
        ContractTakeover(labels, cache, config.contract_takeover, node),
        SanctionsTouch(labels, cache, config.sanctions_touch),
        IssuerFreeze(cache, config.issuer_freeze),
        MixerTouch(cache, config.mixer_touch),
        AddressPoisoning(labels, cache, config.address_poisoning),
        IcePhishing(labels, cache, config.ice_phishing),
        SignaturePhishing(labels, cache, config.signature_phishing, node),
        SweeperDelegation(labels, cache, config.sweeper_delegation, node),
        WashTrading(labels, cache, config.wash_trading),
        NativeClaim(labels, cache, config.native_claim, node),
        ExchangeDrain(labels, cache, config.exchange_drain, node),
        MarketplacePhishing(labels, cache, config.marketplace_phishing),
        DrainerSplit(labels, cache, config.drainer_split),
        MissedSlots(chain, cache, config.missed_slots),
        ReorgDepth(cache, config.reorg_depth),
        DoubleSpend(labels, cache, config.double_spend),
        FinalityDelay(chain, cache, config.finality_delay),
        FeeMarket(chain, cache, config.fee_market),
        Builders(cache, config.builders),
        EmptyBlocks(chain, cache, config.empty_blocks),
        GasUse(labels, cache, config.gas_use),
        Disruption(chain, cache, config.disruption),
        Sandwich(labels, pools, config.sandwich),
        MixerLink(labels, cache, standings, config.mixer_link),
        Taint(labels, cache, standings, config.taint, config.hash_key),
        TokenLaunch(pools, config.token_launch, node),
        Layering(labels, cache, standings, config.layering, config.hash_key),
        KeyCompromise(labels, cache, config.key_compromise, node),
        PhishingWallet(labels, cache, config.phishing_wallet),
        Sybil(labels, cache, config.sybil),
        Dusting(labels, cache, config.dusting, node),
        FlashLoanExploit(labels, cache, config.flash_loan, node),
        Ponzi(labels, cache, config.ponzi),
        MaliciousDeployment(labels, chain, cache, config.malicious_deployment, node),
    ]

"""From settings to the parts: chain, labels, detector, stores, metrics."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import CollectorRegistry

from chainwarden.errors import SettingsError
from chainwarden.labelling import ListWatch, list_info
from chainwarden.metrics import Metrics
from chainwarden.own_rules import own_rules
from chainwarden.pipeline import Stores
from chainwarden.risk_models import risk_models
from chainwarden.schema import BlockReverted, BlocksAdded, Chain
from chainwarden.settings import Secret, Settings
from detect.alerts import AlertConfig, AlertPolicy, Suppression
from detect.compiled import cache_is_whole, note_whole_cache
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.label_lists import parse_address
from detect.labels import LabelBook, Verdict, builtin_labels
from detect.risk import Outcomes, Turned
from detect.rules import Rule, RulesConfig, default_rules
from detect.rules.node import WITHOUT_NODE, NodeCalls, confirmations
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.node_calls import RpcNodeCalls
from ingest.rpc import RpcConfig, RpcSource
from ingest.simulate import Simulation, SimulationConfig
from store.label_archive import LabelArchive
from store.lake import Lake
from store.ledger import Ledger, Mode, Receivers
from store.private_key import private_key
from store.snapshots import SnapshotStore

if TYPE_CHECKING:
    from chainwarden.kafka_bus import KafkaConfig

log = logging.getLogger(__name__)

# Forks this deep are undone; the follower and the detector agree on it.
UNDO_BLOCKS: Final = 64
# Together they cost little more than one, and have the same kernels called.
WARM_UP_BLOCKS: Final = 16
HASH_KEY: Final = "hash.key"
HASH_KEY_BYTES: Final = 16


def new_book() -> LabelBook:
    """A book of the built-in labels."""
    return LabelBook(builtin_labels())


def label_watch(settings: Settings) -> ListWatch:
    """The label lists of the settings, read by whoever wants them."""
    return ListWatch([list_info(one) for one in settings.lists()])


@dataclass(frozen=True, slots=True)
class Detection:
    """A detector and the policy inside it, whose counts the metrics show.

    ``confirmations`` says what each rule that asks a node asks it for, by rule.
    """

    detector: Detector
    policy: AlertPolicy
    confirmations: Mapping[str, str]

    def say_what_is_not_confirmed(self) -> None:
        """Log once that no node is asked, by whom, and in detail what the rules do without."""
        if self.confirmations:
            log.warning("no node is asked to confirm: %s", ", ".join(sorted(self.confirmations)))
        for rule, what in sorted(self.confirmations.items()):
            log.info("no node is asked: %s does without %s", rule, what)


def make_detector(
    settings: Settings,
    chain: Chain,
    labels: LabelBook,
    label_delay_days: float | None = None,
    outcomes: Outcomes | None = None,
    node: NodeCalls = WITHOUT_NODE,
) -> Detection:
    """The detector with all rules, and with the risk models if the settings want them.

    They ask ``outcomes``, else the labels, once a label is due, and these again when it changes
    while the detector runs. With ``label_delay_days`` there is a model in any case, and labels come
    that late. ``node`` is whom the rules ask for what is not in view.
    """
    policy = AlertPolicy(
        chain,
        AlertConfig(
            cooldown_seconds=int(settings.alerts.cool_down_hours * 3600),
            budget_per_hour=settings.alerts.budget_per_hour,
            suppressions=tuple(suppression(text) for text in settings.alerts.suppress),
        ),
        labels,
    )
    champion, challenger = None, None
    if settings.detect.risk or label_delay_days is not None:
        champion, challenger = risk_models(settings, label_delay_days)
    config = DetectorConfig(
        wallets=settings.detect.wallets,
        summaries=settings.detect.summaries,
        learn_depth=settings.detect.learn_depth,
        undo_depth=UNDO_BLOCKS,
        seed=settings.detect.seed,
        hash_key=bytes.fromhex(settings.detect.hash_key.reveal()) or bytes(16),
        risk=champion,
        challenger=challenger,
    )
    ours = default_rules(labels, chain, RulesConfig(hash_key=config.hash_key), node)
    theirs = own_rules(settings.detect.own_rules, labels, chain)
    skipped = _skipped(settings.detect.skip_rules, [*ours, *theirs])
    early = [rule for rule in ours if rule.id not in skipped]  # none of ours reads a score
    late = [rule for rule in theirs if rule.id not in skipped]
    turned = turned_in(labels) if outcomes is None else None
    asked = outcomes or bad_in(labels, chain)
    detector = Detector(chain, config, late, policy, asked, turned, early)
    return Detection(detector, policy, confirmations([*early, *late]))


def _skipped(named: Sequence[str], rules: Sequence[Rule]) -> set[str]:
    """The rules that are left out. Raises SettingsError for a name there is not."""
    if unknown := set(named) - {rule.id for rule in rules}:
        raise SettingsError(
            f"detect.skip_rules: there is no rule {min(unknown)!r}",
            hint=f"there are {', '.join(sorted(rule.id for rule in rules))}",
        )
    return set(named)


def bad_in(labels: LabelBook, chain: Chain) -> Outcomes:
    """Whom the labels call bad when asked: what the risk model learns from."""
    verdicts = labels.outcomes(chain.name)
    return lambda address, timestamp: verdicts(address, timestamp) is Verdict.BAD


def turned_in(labels: LabelBook) -> Turned:
    """Whose verdict somebody changed since it was asked last."""
    version = labels.version

    def turned() -> tuple[bytes, ...]:
        nonlocal version
        changes, whole = labels.changes_since(version)
        if not whole:
            log.warning(
                "more labels changed at once than are kept: of some the risk model keeps what it "
                "learnt; rebuild the state to have them corrected"
            )
        if changes:
            version = changes[-1].version  # not the book's: another thread may have spoken since
        return tuple(change.address for change in changes)

    return turned


def suppression(text: str) -> Suppression:
    """What the settings suppress: a wallet (0x…) or a rule, by its name."""
    if not text.startswith("0x"):
        return Suppression("settings", rule=text)
    try:
        return Suppression("settings", subject=parse_address(text))
    except ValueError as error:
        raise SettingsError(f"alerts.suppress: {text!r}: {error}") from error


def keyed(settings: Settings, out: Path) -> Settings:
    """The settings with a hash key: their own, else the one of the installation in a folder.

    That one is random, made at the first start and kept in ``hash.key``. Alerts do not depend on
    it but for wallets that meet in one cell of a sketch; the digest of a state does.
    """
    if settings.detect.hash_key:
        return settings
    hint = "restore it; or delete it: the state is then rebuilt from the lake under a new one"
    key = private_key(out / HASH_KEY, HASH_KEY_BYTES, hint)
    detect = msgspec.structs.replace(settings.detect, hash_key=Secret(key.hex()))
    return msgspec.structs.replace(settings, detect=detect)


def keyed_like(settings: Settings, source: Path, to: Path) -> Settings:
    """The settings with the hash key that a folder's results were made with, taken along ``to``.

    A replay without a key of the settings has none, which is all zeros: its digests can be
    compared with anybody's.
    """
    if settings.detect.hash_key or not (source / HASH_KEY).exists():
        return settings
    shutil.copy2(source / HASH_KEY, to / HASH_KEY)
    return keyed(settings, to)


def compile_kernels(settings: Settings) -> None:
    """Have every kernel compiled on disk before time counts; each is loaded when it is needed.

    That takes a minute where none is, and no time where they are.
    """
    if not cache_is_whole():
        load_kernels(settings)
        note_whole_cache()


def load_kernels(settings: Settings) -> None:
    """Have every kernel in memory, compiled or from the cache, as who must not wait later wants it.

    A small simulated chain, longer than the models' learning depth, goes through a detector that
    is thrown away.
    """
    blocks = settings.detect.learn_depth + 6
    simulation = Simulation(SimulationConfig(blocks=blocks, transactions_per_block=4.0))
    follower = ChainFollower(UNDO_BLOCKS)
    detector = make_detector(settings, simulation.chain, LabelBook()).detector
    raws = simulation.blocks()
    while some := list(islice(raws, WARM_UP_BLOCKS)):
        for event in follower.add(decode_blocks(simulation.chain, some, [True] * len(some))):
            match event:
                case BlocksAdded(batch, gap):
                    detector.process(batch, gap)
                case BlockReverted(position):
                    detector.revert(position)


def open_stores(
    out: Path,
    chain: Chain,
    mode: Mode,
    receivers: Receivers = (),
    snapshots_kept: int = 3,
    clock: Callable[[], float] = time.time,
) -> Stores:
    """Ledger, lake and snapshots in a folder, made if it is not there.

    The ledger comes first: its lock is what keeps a second process out of the whole folder.
    ``clock`` is the wall clock, in seconds since 1970.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{out}: {error.strerror}", hint="give --out a folder that can be written"
        ) from error
    ledger = Ledger.open(out / "ledger.duckdb", chain, mode, receivers, clock)
    return Stores(
        ledger,
        Lake(out / "lake", chain),
        SnapshotStore(out / "snapshots", out / "snapshot.key", snapshots_kept),
        LabelArchive(out / "label-lists"),
    )


def kafka_config(settings: Settings, chain: Chain) -> KafkaConfig:
    """Where the broker is."""
    from chainwarden.kafka_bus import KafkaConfig  # whose import takes 0.2 s that a replay saves

    bus = settings.bus
    return KafkaConfig(
        bootstrap_servers=bus.bootstrap_servers,
        chain=chain,
        partitions=bus.partitions,
        timeout_seconds=bus.timeout_seconds,
        patience_seconds=bus.patience_seconds,
        security_protocol=bus.security_protocol,
        sasl_mechanism=bus.sasl_mechanism,
        username=bus.username,
        password=bus.password.reveal(),
        ca_file=bus.ca_file,
    )


def open_source_node(settings: Settings) -> RpcSource:
    """The node or nodes of the settings, asked which chain they are on.

    The settings may give the chain another name, never another id.
    """
    if not settings.source.rpc:
        raise SettingsError("no node to follow", hint="give --rpc URL, or set source.rpc")
    urls = [url.reveal() for url in settings.source.rpc]
    quorum = settings.source.quorum
    if quorum > len(urls):
        raise SettingsError(
            f"source.quorum is {quorum}, and there are {len(urls)} endpoints",
            hint="a block is known to no more endpoints than there are",
        )
    config = RpcConfig(quorum=quorum, traces=settings.source.traces)
    source = RpcSource(urls, None, config)
    try:
        chain = source.connect()
        if settings.chain_id not in (None, chain.id):
            raise SettingsError(
                f"the node is on chain {chain.id}, the settings say {settings.chain_id}",
                hint="set chain_id to the node's, or give another --rpc",
            )
    except BaseException:
        source.close()
        raise
    if settings.chain in ("", chain.name):
        return source
    source.close()
    return RpcSource(urls, Chain(settings.chain, chain.id), config)


def open_node_calls(settings: Settings, chain: Chain) -> RpcNodeCalls | None:
    """The nodes that rules may ask; None where the settings do not allow it."""
    if not settings.detect.node_calls:
        return None
    if not settings.source.rpc:
        raise SettingsError(
            "detect.node_calls is on and there is no node to ask", hint="set source.rpc"
        )
    return RpcNodeCalls([url.reveal() for url in settings.source.rpc], chain.id)


def new_metrics(chain: Chain, clock: Callable[[], float] = time.time) -> Metrics:
    """Metrics on a registry of their own."""
    return Metrics(CollectorRegistry(), chain.name, clock)

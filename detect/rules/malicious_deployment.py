"""A contract made for an attack, told the moment it is created: days before it strikes, at times.

Its code speaks by itself (the contract model; copies of code known to be bad), and so does its
maker: a fresh wallet out of a mixer, or one that is labelled bad. Neither is enough to be loud.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from chainwarden.schema import Chain, Evidence, Reason, Role, Severity, hex_of
from detect.bytecode import Code, CodeReader
from detect.code_memory import CodeMemory, CodeMemoryConfig, Likeness
from detect.journal import Journaled
from detect.labels import LabelBook
from detect.rules.code_reasons import code_weights
from detect.rules.columns import ColumnCache, Columns
from detect.rules.creations import Creation, creations_of
from detect.rules.funding import Funded, FundingConfig, MixerFunding
from detect.rules.log_odds import Weight, weighed
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MaliciousDeploymentConfig:
    """Thresholds, weights of evidence (in log odds), and bounds.

    ``threshold``: the model's probability that counts beside other evidence, ``alone`` that which
    is told by itself. ``fresh_nonce`` and ``fresh_seconds``: a maker up to there is new.
    ``reputable_nonce`` and ``reputable_seconds``: from there on (both) it is not suspected.
    ``base``: the log odds of a contract nothing is known of.
    """

    threshold: float = 0.5
    alone: float = 0.95
    fresh_nonce: int = 20
    fresh_seconds: int = 3 * 86_400
    reputable_nonce: int = 500
    reputable_seconds: int = 90 * 86_400
    base: float = -4.0
    mixer: float = 3.0
    similarity: float = 4.0
    bad_maker: float = 3.0
    callbacks: float = 1.5
    metamorphic: float = 1.5
    fresh: float = 0.5
    shown: int = 5
    memory: CodeMemoryConfig = field(default_factory=CodeMemoryConfig)
    funding: FundingConfig = field(default_factory=FundingConfig)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that is known of a creation."""

    creation: Creation
    code: Code
    probability: float | None
    likeness: Likeness | None
    funded: Funded | None
    maker_bad: bool
    fresh: bool

    @property
    def armed(self) -> bool:
        """Whether the code is that of a borrower of flash loans, or can become another one."""
        return bool(self.code.flash_callbacks) or "metamorphic prefix" in self.code.flags


class MaliciousDeployment(Journaled):
    """Finds contracts made for an attack. The subject is the contract, so that its label teaches.

    ==============================================================================  ==============
    its code is a copy of known bad code, or scores ≥ τ; its maker mixer-funded or bad  high
    its code is a copy of known bad code                                            medium
    the model is in warm-up: flash-loan callbacks, a fresh mixer-funded maker       medium
    its code alone scores ≥ 0.95                                                    low
    ==============================================================================  ==============

    Not suspected: makers with a reputation, known services, Railgun-funded makers, wallets paid by
    funded ones that had a past, minimal proxies unless their target is labelled bad, templates that
    many deployed. Contracts that contracts create have no code in view without traces: a node is
    asked for it if the maker is mixer-funded or bad, else they are passed over.
    """

    id = "malicious_deployment"
    version = 1
    confirms = "the code of contracts that contracts create"

    def __init__(
        self,
        labels: LabelBook,
        chain: Chain,
        cache: ColumnCache,
        config: MaliciousDeploymentConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or MaliciousDeploymentConfig()
        self.memory = CodeMemory(labels, chain.name, self._config.memory)
        self.funding = MixerFunding(self._config.funding)
        super().__init__({**self.memory.parts, **self.funding.parts})
        self._labels, self._cache, self._node = labels, cache, node
        self._reader = CodeReader()
        self._said = False

    def gauges(self) -> dict[str, float]:
        """What the contract model has learnt, and what waits."""
        good, bad = self.memory.learner.learnt
        return {
            "contract_model_warming_up": float(self.memory.learner.warming_up),
            "contract_codes/learnt_good": float(good),
            "contract_codes/learnt_bad": float(bad),
            "contract_codes/waiting": float(self.memory.waiting),
            "contract_codes/known_bad": float(self.memory.known_bad),
        }

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        payments = self.funding.steps(columns)
        creations = creations_of(columns)
        findings: list[Finding] = []
        settled, paid = -1, 0
        for creation in creations:
            while paid < len(payments) and payments[paid].place < creation.place:
                step = payments[paid]
                self.funding.take(columns, step, columns.first_serial + step.place[0])
                paid += 1
            block = creation.place[0]
            serial, now = columns.first_serial + block, int(columns.block_times[block])
            if block != settled:
                self.memory.settle(serial, now)
                settled = block
            finding = self._look_at(columns, creation, serial, now)
            if finding is not None:
                findings.append(finding)
        for step in payments[paid:]:
            self.funding.take(columns, step, columns.first_serial + step.place[0])
        return findings

    def _look_at(
        self, columns: Columns, creation: Creation, serial: int, now: int
    ) -> Finding | None:
        funded = self.funding.funded(creation.maker, now)
        maker_bad = self.memory.is_bad(creation.maker, now)
        code = self._code(columns, creation, asks=maker_bad or funded is not None)
        if code is None:
            return None
        config, memory = self._config, self.memory
        case = _Case(
            creation,
            code,
            probability=memory.learner.probability(code.features) if code.target is None else None,
            likeness=self._likeness(code, now),
            funded=funded,
            maker_bad=maker_bad,
            fresh=creation.age <= config.fresh_seconds
            and (creation.nonce is None or creation.nonce <= config.fresh_nonce),
        )
        # What a node said is not kept, and a minimal proxy has no code of its own.
        if creation.init_code is not None and code.target is None:
            memory.note(serial, code, creation.contract, now)
        severity = None if self._trusted(columns, case, now) else self._severity(case)
        return None if severity is None else self._finding(case, severity)

    def _code(self, columns: Columns, creation: Creation, asks: bool) -> Code | None:
        if creation.init_code:
            return self._reader.of_init(creation.init_code)
        if creation.init_code is None and not self._said:
            self._said = True
            log.info("creations without init code in the source: %s passes them over", self.id)
        if not asks or creation.init_code is not None:
            return None
        code = self._node.code_at(creation.contract, columns.batch.position(creation.place[0]))
        return self._reader.of_runtime(code) if code else None

    def _likeness(self, code: Code, now: int) -> Likeness | None:
        if code.target is None:
            return self.memory.likeness(code, now)
        return Likeness(code.target, 1.0) if self.memory.is_bad(code.target, now) else None

    def _trusted(self, columns: Columns, case: _Case, now: int) -> bool:
        if case.maker_bad:
            return False
        creation, config = case.creation, self._config
        known = (
            creation.nonce is not None
            and creation.nonce >= config.reputable_nonce
            and creation.age >= config.reputable_seconds
        )
        return known or self._labels.is_service(creation.maker, now, columns.batch.chain.name)

    def _severity(self, case: _Case) -> Severity | None:
        config = self._config
        suspect = case.probability is not None and case.probability >= config.threshold
        if (suspect or case.likeness) and (case.funded or case.maker_bad):
            return Severity.HIGH
        if case.likeness:
            return Severity.MEDIUM
        if case.probability is None:
            shaped = case.armed and case.fresh and case.funded is not None
            return Severity.MEDIUM if shaped else None
        return Severity.LOW if case.probability >= config.alone else None

    def _finding(self, case: _Case, severity: Severity) -> Finding:
        creation = case.creation
        score, reasons = self._reasons(case)
        hash_ = creation.transaction
        related = [creation.maker]
        related += [case.likeness.contract] if case.likeness else []
        related += [hop.sender for hop in case.funded.path] if case.funded else []
        related += case.code.addresses[: self._config.shown]
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="malicious_deployment",
            severity=severity,
            score=score,
            subject=creation.contract,
            role=Role.ATTACKER,
            block_row=creation.place[0],
            transaction_index=creation.place[1],
            transaction_hash=hash_,
            ordinal=creation.ordinal,
            sentence=_sentence(case),
            reasons=reasons,
            evidence=Evidence(
                transactions=() if hash_ is None else (hash_,),
                addresses=tuple(dict.fromkeys(related)),
                path=case.funded.path if case.funded else (),
            ),
        )

    def _reasons(self, case: _Case) -> tuple[float, tuple[Reason, ...]]:
        config = self._config
        base, weights = config.base, list[Weight]()
        if case.probability is not None:
            learner = self.memory.learner
            base, weights = code_weights(
                case.code, learner.explain(case.code.features), config.shown
            )
        if case.likeness is not None:
            weights.append(
                Weight(
                    "similarity_to_bad_code",
                    case.likeness.similarity,
                    config.similarity,
                    config.memory.similar,
                )
            )
        if case.funded is not None:
            hops = case.funded.hops
            weight = config.mixer * (1.0 - hops / (2.0 * (config.funding.hops + 1)))
            weights.append(Weight("mixer_hops", float(hops), weight, float(config.funding.hops)))
        for name, holds, log_odds in (
            ("maker_is_labelled_bad", case.maker_bad, config.bad_maker),
            ("flash_loan_callbacks", len(case.code.flash_callbacks), config.callbacks),
            ("metamorphic_prefix", "metamorphic prefix" in case.code.flags, config.metamorphic),
            ("maker_is_fresh", case.fresh, config.fresh),
        ):
            if holds:
                weights.append(Weight(name, float(holds), log_odds))
        return weighed(base, weights)


def _sentence(case: _Case) -> str:
    creation, said = case.creation, []
    if case.likeness is not None:
        likeness = case.likeness
        share = "the same as" if likeness.similarity == 1 else f"{likeness.similarity:.1%} that of"
        said.append(f"its code is {share} {hex_of(likeness.contract)}, labelled bad")
    if case.probability is not None:
        said.append(f"the contract model gives it {case.probability:.0%}")
    if case.code.flash_callbacks:
        names = ", ".join(name.partition("(")[0] for name in case.code.flash_callbacks)
        said.append(f"it takes flash loans ({names})")
    if "metamorphic prefix" in case.code.flags:
        said.append("its code can be exchanged later (metamorphic)")
    if case.funded is not None:
        hops = case.funded.hops
        way = "paid out of" if not hops else f"{hops} hop{'s' if hops > 1 else ''} from"
        said.append(f"its maker was {way} Tornado Cash")
    if case.maker_bad:
        said.append("its maker is labelled bad")
    return f"{hex_of(creation.maker)} deployed {hex_of(creation.contract)}: {'; '.join(said)}."

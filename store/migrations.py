"""The ledger's tables, as versioned migrations.

Each migration runs alone in its own transaction, and a checkpoint follows at once: a log that
holds table definitions is the one thing DuckDB has been seen to fail to replay after a crash.
A published migration is never edited; a change is a new one at the end.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import duckdb

from chainwarden.errors import StoreError
from store.results import first

log = logging.getLogger(__name__)

COUNTED_TABLES: Final = (
    "alerts", "outbox", "labels", "lake_files", "snapshots", "label_changes", "label_lists",
    "model_promotions", "acknowledgements", "suppressions", "audit",
)  # fmt: skip
"""Tables whose row counts ``totals`` keeps, and which are counted again when a ledger is opened."""

SERIALS: Final = (
    "alert_serial", "outbox_serial", "label_serial", "snapshot_serial", "change_serial",
    "alert_change_serial", "triage_serial",
)  # fmt: skip
"""The last serial given out, by kind. Serials increase and are never reused."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: all of its statements take effect, or none."""

    version: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS: Final = (
    Migration(
        1,
        "the ledger",
        (
            "CREATE TABLE ledger.chains (name VARCHAR NOT NULL, id UBIGINT NOT NULL)",
            # One row. Whatever a transaction adds or removes, it counts here.
            """CREATE TABLE ledger.totals (
                commits BIGINT NOT NULL,
                alerts BIGINT NOT NULL, outbox BIGINT NOT NULL, labels BIGINT NOT NULL,
                lake_files BIGINT NOT NULL, snapshots BIGINT NOT NULL,
                alert_serial BIGINT NOT NULL, outbox_serial BIGINT NOT NULL,
                label_serial BIGINT NOT NULL, snapshot_serial BIGINT NOT NULL
            )""",
            "INSERT INTO ledger.totals VALUES (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
            """CREATE TABLE ledger.cursors (
                chain VARCHAR NOT NULL,
                head_number BIGINT, head_hash BLOB,
                offsets VARCHAR NOT NULL,
                blocks BIGINT NOT NULL, transactions BIGINT NOT NULL, flows BIGINT NOT NULL
            )""",
            # The key is the only index: everything else is found through zone maps, because serials
            # and block numbers arrive almost in order. Indexed columns are never updated.
            """CREATE TABLE ledger.alerts (
                id UUID PRIMARY KEY,
                serial BIGINT NOT NULL,
                chain VARCHAR NOT NULL,
                rule VARCHAR NOT NULL, rule_version INTEGER NOT NULL,
                typology VARCHAR NOT NULL,
                severity TINYINT NOT NULL,
                score DOUBLE NOT NULL,
                subject BLOB NOT NULL,
                role VARCHAR NOT NULL,
                block_number BIGINT NOT NULL, block_hash BLOB NOT NULL,
                block_timestamp BIGINT NOT NULL,
                transaction_hash BLOB,
                ordinal BIGINT NOT NULL,
                sentence VARCHAR NOT NULL,
                reasons VARCHAR NOT NULL,
                evidence VARCHAR NOT NULL,
                status VARCHAR NOT NULL,
                retraction VARCHAR,
                instance INTEGER NOT NULL
            )""",
            """CREATE TABLE ledger.alert_counts (
                chain VARCHAR NOT NULL, rule VARCHAR NOT NULL, severity TINYINT NOT NULL,
                status VARCHAR NOT NULL, alerts BIGINT NOT NULL
            )""",
            """CREATE TABLE ledger.labels (
                serial BIGINT NOT NULL,
                address BLOB NOT NULL, label VARCHAR NOT NULL, source VARCHAR NOT NULL,
                valid_from BIGINT NOT NULL, valid_to BIGINT,
                chain VARCHAR,
                author VARCHAR NOT NULL, note VARCHAR NOT NULL, alert_id VARCHAR NOT NULL,
                withdrawn BOOLEAN NOT NULL,
                applied_number BIGINT
            )""",
            """CREATE TABLE ledger.lake_files (
                path VARCHAR NOT NULL, chain VARCHAR NOT NULL, dataset VARCHAR NOT NULL,
                first_number BIGINT NOT NULL, first_hash BLOB NOT NULL,
                last_number BIGINT NOT NULL, last_hash BLOB NOT NULL,
                rows BIGINT NOT NULL, size_bytes BIGINT NOT NULL
            )""",
            """CREATE TABLE ledger.snapshots (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL, path VARCHAR NOT NULL,
                head_number BIGINT, head_hash BLOB, offsets VARCHAR NOT NULL,
                blocks BIGINT NOT NULL, transactions BIGINT NOT NULL, flows BIGINT NOT NULL,
                size_bytes BIGINT NOT NULL
            )""",
            # subject and lane say what must stay in order; position and instance, which telling of
            # the alert this row is. Receivers are known by name only: no URL, no secret.
            """CREATE TABLE ledger.outbox (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL, receiver VARCHAR NOT NULL,
                subject BLOB NOT NULL, lane TINYINT NOT NULL,
                alert_id UUID NOT NULL, kind VARCHAR NOT NULL, message_id VARCHAR NOT NULL,
                block_number BIGINT NOT NULL, block_hash BLOB NOT NULL,
                block_timestamp BIGINT NOT NULL, instance INTEGER NOT NULL,
                data VARCHAR NOT NULL,
                state VARCHAR NOT NULL, in_doubt BOOLEAN NOT NULL, refused BOOLEAN NOT NULL,
                attempts INTEGER NOT NULL, next_at DOUBLE NOT NULL,
                enqueued_at DOUBLE NOT NULL, settled_at DOUBLE, error VARCHAR NOT NULL
            )""",
        ),
    ),
    Migration(
        2,
        "what is final",
        (
            "ALTER TABLE ledger.cursors ADD COLUMN finalized_number BIGINT",
            "ALTER TABLE ledger.cursors ADD COLUMN finalized_hash BLOB",
        ),
    ),
    Migration(
        3,
        "the audit trail of labels",
        (
            """CREATE TABLE ledger.label_changes (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL,
                said_at DOUBLE NOT NULL, withdrawn BOOLEAN NOT NULL,
                said_by VARCHAR NOT NULL, why VARCHAR NOT NULL,
                number BIGINT,
                address BLOB NOT NULL, label VARCHAR NOT NULL, source VARCHAR NOT NULL,
                valid_from BIGINT NOT NULL, valid_to BIGINT, label_chain VARCHAR,
                author VARCHAR NOT NULL, note VARCHAR NOT NULL, alert_id VARCHAR NOT NULL
            )""",
            """CREATE TABLE ledger.label_lists (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL, said_at DOUBLE NOT NULL,
                path VARCHAR NOT NULL, source VARCHAR NOT NULL, licence VARCHAR NOT NULL,
                list_chain VARCHAR, valid_from BIGINT NOT NULL, valid_to BIGINT,
                digest VARCHAR NOT NULL, format VARCHAR NOT NULL,
                loaded BIGINT NOT NULL, refused BIGINT NOT NULL,
                added BIGINT NOT NULL, removed BIGINT NOT NULL,
                number BIGINT NOT NULL
            )""",
            # Labels from before the trail took force with the next start, for every chain.
            """INSERT INTO ledger.label_changes
                SELECT row_number() OVER (ORDER BY l.serial, c.name), c.name, 0, false,
                    l.author, l.note, l.applied_number, l.address, l.label, l.source, l.valid_from,
                    l.valid_to, l.chain, l.author, l.note, l.alert_id
                FROM ledger.labels l, ledger.chains c WHERE NOT l.withdrawn""",
            "ALTER TABLE ledger.totals ADD COLUMN label_changes BIGINT DEFAULT 0",
            "ALTER TABLE ledger.totals ADD COLUMN label_lists BIGINT DEFAULT 0",
            "ALTER TABLE ledger.totals ADD COLUMN change_serial BIGINT DEFAULT 0",
            """UPDATE ledger.totals SET
                label_changes = (SELECT count(*) FROM ledger.label_changes),
                change_serial = (SELECT count(*) FROM ledger.label_changes)""",
        ),
    ),
    Migration(
        4,
        "risk models: their figures, and who was promoted",
        (
            "CREATE TABLE ledger.model_figures (chain VARCHAR NOT NULL, models VARCHAR NOT NULL)",
            """CREATE TABLE ledger.model_promotions (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL,
                said_at DOUBLE NOT NULL, said_by VARCHAR NOT NULL, why VARCHAR NOT NULL,
                number BIGINT,
                configuration VARCHAR NOT NULL, parameters VARCHAR NOT NULL
            )""",
            "ALTER TABLE ledger.totals ADD COLUMN model_promotions BIGINT DEFAULT 0",
        ),
    ),
    Migration(
        5,
        "floods into digests, and receivers that are disabled",
        (
            "ALTER TABLE ledger.outbox ADD COLUMN rule VARCHAR DEFAULT ''",
            "ALTER TABLE ledger.outbox ADD COLUMN severity TINYINT DEFAULT 0",
            "ALTER TABLE ledger.outbox ADD COLUMN digest BIGINT",
            """UPDATE ledger.outbox SET rule = a.rule, severity = a.severity
                FROM ledger.alerts a WHERE a.id = outbox.alert_id""",
            """CREATE TABLE ledger.receivers (
                chain VARCHAR NOT NULL, receiver VARCHAR NOT NULL,
                failing_since DOUBLE, failed_at DOUBLE, disabled_at DOUBLE, reason VARCHAR NOT NULL
            )""",
        ),
    ),
    Migration(
        6,
        "in what order alerts changed, and which ledger says so",
        (
            "ALTER TABLE ledger.alerts ADD COLUMN changed BIGINT DEFAULT 0",
            "UPDATE ledger.alerts SET changed = serial",
            "ALTER TABLE ledger.totals ADD COLUMN alert_change_serial BIGINT DEFAULT 0",
            "UPDATE ledger.totals SET alert_change_serial = alert_serial",
            # Numbers of changes are this file's own: one that is made anew has another identity.
            "CREATE TABLE ledger.identity (id UUID NOT NULL)",
            "INSERT INTO ledger.identity VALUES (uuid())",
        ),
    ),
    Migration(
        7,
        "who has which alert in hand, and of which nobody is told",
        (
            """CREATE TABLE ledger.acknowledgements (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL,
                alert_id UUID NOT NULL, said_at DOUBLE NOT NULL,
                said_by VARCHAR NOT NULL, why VARCHAR NOT NULL,
                withdrawn BOOLEAN NOT NULL, changed BIGINT NOT NULL
            )""",
            """CREATE TABLE ledger.suppressions (
                serial BIGINT NOT NULL, chain VARCHAR NOT NULL,
                rule VARCHAR, subject BLOB, until DOUBLE NOT NULL,
                said_at DOUBLE NOT NULL, said_by VARCHAR NOT NULL, why VARCHAR NOT NULL,
                ended_at DOUBLE, ended_by VARCHAR NOT NULL
            )""",
            "ALTER TABLE ledger.totals ADD COLUMN acknowledgements BIGINT DEFAULT 0",
            "ALTER TABLE ledger.totals ADD COLUMN suppressions BIGINT DEFAULT 0",
            "ALTER TABLE ledger.totals ADD COLUMN triage_serial BIGINT DEFAULT 0",
        ),
    ),
    Migration(
        8,
        "the audit chain",
        (
            # The last serial is the count. What was there before is noted when it is opened.
            """CREATE TABLE ledger.audit (
                serial BIGINT NOT NULL, kind VARCHAR NOT NULL, key VARCHAR NOT NULL,
                content BLOB NOT NULL, digest BLOB NOT NULL
            )""",
            "ALTER TABLE ledger.totals ADD COLUMN audit BIGINT DEFAULT 0",
        ),
    ),
)

LATEST: Final = MIGRATIONS[-1].version


def migrate(cursor: duckdb.DuckDBPyConnection) -> None:
    """Bring the attached database ``ledger`` to the latest version.

    Raises StoreError for a ledger written by a newer chainwarden.
    """
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS ledger.migrations (version INTEGER NOT NULL, name VARCHAR)"
    )
    row = first(cursor.execute("SELECT coalesce(max(version), 0) FROM ledger.migrations"))
    version = int(row[0]) if row else 0
    if version > LATEST:
        raise StoreError(
            f"the ledger has schema version {version}, this chainwarden knows up to {LATEST}",
            hint="use the newer chainwarden that wrote it",
        )
    for migration in MIGRATIONS[version:]:
        cursor.execute("BEGIN TRANSACTION")
        for statement in migration.statements:
            cursor.execute(statement)
        cursor.execute(
            "INSERT INTO ledger.migrations VALUES (?, ?)", [migration.version, migration.name]
        )
        cursor.execute("COMMIT")
        cursor.execute("CHECKPOINT ledger")
        log.info("ledger schema is now version %d (%s)", migration.version, migration.name)

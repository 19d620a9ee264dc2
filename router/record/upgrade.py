"""Which version a store has, and the way from there to the present one.

``meta`` keeps the version as a plain number, which every release of the program reads: one that is
older than the store refuses it. The steps between versions are Alembic's.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, select, update
from sqlalchemy.engine import Connection

from router.errors import StoreError
from router.record.schema import SCHEMA_VERSION, meta, metadata
from router.record.seal import FIRST_SEAL, HEAD
from router.record.texts import prepare_texts

MIGRATIONS = Path(__file__).parent / "migrations"

_VERSION = meta.c.key == "schema_version"


def bring_up_to_date(connection: Connection, name: str) -> None:
    """Create the tables in an empty store, or take an older one to the present version.

    ``connection`` has the store to itself, so of several processes one does the work and the
    others find it done. ``name``: the store's, for messages. Raises StoreError where the store is
    newer than this program, damaged, or not ours.
    """
    ours = set(metadata.tables)
    found = ours.intersection(inspect(connection).get_table_names())
    if not found:
        metadata.create_all(connection)
        known = {"schema_version": str(SCHEMA_VERSION), HEAD: FIRST_SEAL}
        connection.execute(meta.insert(), [{"key": k, "value": v} for k, v in known.items()])
        prepare_texts(connection)
        return
    if meta.name not in found:
        raise StoreError(
            f"the store {name} belongs to another program; point store.url at another file"
        )
    version = _read_version(connection, name)
    if version < SCHEMA_VERSION:
        migrate(connection, version)
    missing = sorted(ours.difference(inspect(connection).get_table_names()))
    if missing:
        raise StoreError(
            f"the store {name} lacks the table {missing[0]}; restore it from a backup or move it"
            " away"
        )
    prepare_texts(connection)
    # Found out now rather than with the first record: may the store be written at all?
    connection.execute(update(meta).where(_VERSION).values(value=meta.c.value))


def migrate(connection: Connection, version: int, to: int = SCHEMA_VERSION) -> None:
    """Run the steps from ``version`` (0: an empty store) to ``to`` in the connection's transaction,
    and note the new version."""
    # Needed once per release of the schema: a process that serves needn't carry it.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    steps = ScriptDirectory(MIGRATIONS)
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        before = str(version) if version else "base"
        for step in reversed([*steps.iterate_revisions(str(to), before)]):
            step.module.upgrade()
    if version:
        connection.execute(update(meta).where(_VERSION).values(value=str(to)))
    else:
        connection.execute(meta.insert().values(key="schema_version", value=str(to)))


def _read_version(connection: Connection, name: str) -> int:
    version = connection.execute(select(meta.c.value).where(_VERSION)).scalar_one_or_none()
    if version is None or not version.isdecimal():
        raise StoreError(
            f"the store {name} doesn't say which version it has; point store.url at another file"
        )
    if int(version) > SCHEMA_VERSION:
        raise StoreError(
            f"the store {name} has schema version {version} but this program knows versions up to"
            f" {SCHEMA_VERSION}; use the release of tutelage that wrote it, or a newer one"
        )
    return int(version)

"""Stores of earlier releases open in this one; those of later ones are refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from policies.types import Tier
from router.errors import StoreError
from router.record.database import Database, dump_json
from router.record.engines import open_backend
from router.record.latency import Quantiles
from router.record.model import Feedback
from router.record.schema import SCHEMA_VERSION, meta, metadata
from router.record.store import Store
from router.record.upgrade import migrate
from tests.unit.router.record.records import make_record

STORES = Path(__file__).parent / "stores"
"""What earlier releases wrote, one dump per version of the schema."""


def restore(version: int, file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.executescript((STORES / f"v{version}.sql").read_text())
    connection.close()


def test_the_steps_lead_to_the_present_tables(any_url: str) -> None:
    database = Database(open_backend(any_url, dump_json))
    with database.write() as connection:
        migrate(connection, 0)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()
    store = Store.open(any_url)  # and they can be used
    assert store.append([make_record("i1")]) == 1
    store.close()


def test_there_is_a_store_of_every_earlier_version() -> None:
    assert {file.stem for file in STORES.iterdir()} == {f"v{n}" for n in range(1, SCHEMA_VERSION)}


def test_a_store_of_the_first_release(tmp_path: Path, url: str) -> None:
    restore(1, tmp_path / "tutelage.db")
    store = Store.open(url)
    kept = store.interaction("i1")
    assert kept == make_record("i1")
    retried = store.interaction("i2")
    assert retried is not None
    assert [(call.status, call.basis) for call in retried.attempts] == [
        (503, "legacy"),
        (200, "legacy"),
    ]
    spent = store.spending()
    assert (spent.attempts, spent.cost_usd) == (4, 2 * Decimal("0.000123456789"))
    assert store.active_releases() == {"support": "r1"}
    assert store.append([make_record("i1"), make_record("i4")]) == 1
    assert store.put_feedback(Feedback(interaction_id="i1", score=1.0))
    store.close()
    Store.open(url).close()


def test_a_store_of_before_latencies_and_alarms(tmp_path: Path, url: str) -> None:
    restore(2, tmp_path / "tutelage.db")
    store = Store.open(url)
    kept = store.interaction("i1")
    assert kept == make_record("i1")
    said = store.feedback_of("i1")
    assert said is not None
    assert (said.score, said.correction) == (-1.0, "returns")
    assert store.append([make_record("i4", first_token_ms=131.0)]) == 1
    store.roll_up()
    store.sum_up_ledger()
    assert store.totals().interactions == 4
    assert store.costs_by_purpose()["answer"].calls == 3
    assert store.paces(10)[Tier.TEACHER].first_token == Quantiles(count=1, p50=131.0, p95=131.0)
    assert store.alarms(5) == []
    assert store.active_releases() == {"support": "r1"}
    store.close()
    Store.open(url).close()


def test_two_processes_upgrade_it_once(tmp_path: Path, url: str) -> None:
    restore(1, tmp_path / "tutelage.db")
    code = f"from router.record.store import Store; Store.open({url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    store = Store.open(url)
    assert store.spending().attempts == 4
    store.close()


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path, url: str) -> None:
    restore(1, tmp_path / "tutelage.db")
    with sqlite3.connect(tmp_path / "tutelage.db") as connection:
        connection.execute("DELETE FROM meta WHERE key = 'ledger_seal'")
        connection.execute("INSERT INTO meta VALUES ('ledger_seal', 'in the way')")
    connection.close()
    with pytest.raises(StoreError, match="can't be brought up to date and stays as it is"):
        Store.open(url)
    connection = sqlite3.connect(tmp_path / "tutelage.db")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "ledger" not in tables
    connection.close()


def test_a_newer_store_is_refused(any_url: str) -> None:
    Store.open(any_url).close()
    database = Database(open_backend(any_url, dump_json))
    with database.write() as connection:
        connection.execute(
            meta.update().where(meta.c.key == "schema_version").values(value=str(99))
        )
    database.close()
    with pytest.raises(StoreError) as error:
        Store.open(any_url)
    assert str(error.value).endswith(
        f"has schema version 99 but this program knows versions up to {SCHEMA_VERSION};"
        " use the release of tutelage that wrote it, or a newer one"
    )

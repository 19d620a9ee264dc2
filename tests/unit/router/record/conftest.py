"""The stores that the tests of this folder run on.

A test that asks for ``store`` is part of the contract of every store: it runs on SQLite and, as a
long test, on a real PostgreSQL server.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.record.store import Store
from tests.postgres import PostgresServer, run_postgres

_numbers = itertools.count()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An address of SQLite at which there is nothing yet."""
    return f"sqlite:///{tmp_path / 'tutelage.db'}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database(f"store{next(_numbers)}") as url:
        yield url


@pytest.fixture(params=["url", pytest.param("postgres_url", marks=pytest.mark.long)])
def any_url(request: pytest.FixtureRequest) -> str:
    """An address at which there is nothing yet, of every kind of store."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def store(any_url: str) -> Iterator[Store]:
    store = Store.open(any_url)
    yield store
    store.close()

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from router.errors import StoreError
from router.record.store import Store
from tests.unit.router.record.records import make_record


def _one_sentence(error: pytest.ExceptionInfo[StoreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def test_a_store_is_found_again_with_its_settings(url: str, tmp_path: Path) -> None:
    store = Store.open(url)
    store.append([make_record("i1")])
    store.close()
    again = Store.open(url)
    assert again.interaction("i1") == make_record("i1")
    again.close()
    connection = sqlite3.connect(tmp_path / "tutelage.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_two_in_memory_are_apart() -> None:
    one, other = Store.open(":memory:"), Store.open("sqlite://")
    one.append([make_record("i1")])
    assert other.interaction("i1") is None
    one.close()
    other.close()


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 200, b"\x00\xff" * 5000])
def test_a_file_that_is_no_database(tmp_path: Path, url: str, content: bytes) -> None:
    file = tmp_path / "tutelage.db"
    file.write_bytes(content)
    with pytest.raises(StoreError) as error:
        Store.open(url)
    assert "is not a SQLite database" in _one_sentence(error)
    assert file.read_bytes() == content


def test_a_damaged_database(tmp_path: Path, url: str) -> None:
    store = Store.open(url)
    store.append([make_record(f"i{n}") for n in range(200)])
    store.close()
    file = tmp_path / "tutelage.db"
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xde\xad" * 2000 + content[4100:])
    with pytest.raises(StoreError) as error:
        Store.open(url)
    assert "is damaged" in _one_sentence(error)


def test_damage_that_shows_only_later(tmp_path: Path, url: str) -> None:
    store = Store.open(url)
    store.append([make_record(f"i{n}") for n in range(500)])
    store.close()
    file = tmp_path / "tutelage.db"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError) as error:
        Store.open(url).latest(500)
    assert "is damaged" in _one_sentence(error)


def test_a_newer_schema(tmp_path: Path, url: str) -> None:
    Store.open(url).close()
    with sqlite3.connect(tmp_path / "tutelage.db") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(StoreError) as error:
        Store.open(url)
    assert "schema version 99" in _one_sentence(error)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE releases (x)", "belongs to another program"),
        ("CREATE TABLE meta (key, value)", "doesn't say which version"),
        ("CREATE TABLE meta (name, worth)", "tables of another program"),
    ],
)
def test_another_programs_database(tmp_path: Path, url: str, statement: str, words: str) -> None:
    with sqlite3.connect(tmp_path / "tutelage.db") as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreError) as error:
        Store.open(url)
    assert words in _one_sentence(error)


def test_a_lost_table(tmp_path: Path, url: str) -> None:
    Store.open(url).close()
    with sqlite3.connect(tmp_path / "tutelage.db") as connection:
        connection.execute("DROP TABLE cycles")
    connection.close()
    with pytest.raises(StoreError) as error:
        Store.open(url)
    assert "lacks the table cycles" in _one_sentence(error)


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "tutelage.db"
    Store.open(f"sqlite:///{file}").close()
    with pytest.raises(StoreError) as error:
        Store.open(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert "can't be written" in _one_sentence(error)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "x.db", tmp_path):
        with pytest.raises(StoreError) as error:
            Store.open(f"sqlite:///{path}")
        assert "can't be opened" in _one_sentence(error)


@pytest.mark.parametrize(
    ("bad_url", "words"),
    [
        ("tutelage.db", "write sqlite:///FILE"),
        ("", "write sqlite:///FILE"),
        ("nonsense://x", "nonsense database"),
    ],
)
def test_addresses_that_cannot_serve(bad_url: str, words: str) -> None:
    with pytest.raises(StoreError) as error:
        Store.open(bad_url)
    assert words in _one_sentence(error)
    assert "hunter2" not in str(error.value)


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as error:
        Store.open("postgresql://user:hunter2@127.0.0.1:1/db")
    assert "can't be reached" in _one_sentence(error)
    assert "hunter2" not in str(error.value)


def test_a_store_that_is_locked(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.record.engines.BUSY_TIMEOUT_S", 0.05)
    store = Store.open(url)
    other = sqlite3.connect(tmp_path / "tutelage.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert store.latest(1) == []
    with pytest.raises(StoreError) as error:
        store.append([make_record("i1")])
    assert "is locked" in _one_sentence(error)
    other.execute("ROLLBACK")
    other.close()
    assert store.append([make_record("i1")]) == 1
    store.close()


def test_processes_may_create_it_at_the_same_time(url: str) -> None:
    code = f"from router.record.store import Store; Store.open({url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(30) for process in processes] == [0, 0, 0, 0]
    Store.open(url).close()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file can't be deleted there")
def test_a_file_that_is_deleted_while_in_use_takes_nothing_more(tmp_path: Path, url: str) -> None:
    """Its open connections would go on taking records that nobody ever sees again."""
    store = Store.open(url)
    store.append([make_record("i1")])
    file, aside = tmp_path / "tutelage.db", tmp_path / "aside.db"
    file.rename(aside)
    with pytest.raises(StoreError, match="was deleted or replaced") as error:
        store.append([make_record("i2")])
    _one_sentence(error)
    file.write_bytes(aside.read_bytes())  # another file of that name
    with pytest.raises(StoreError, match="was deleted or replaced"):
        store.interaction("i1")
    aside.rename(file)
    assert store.append([make_record("i2")]) == 1
    store.close()

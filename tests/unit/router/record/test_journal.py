"""A journal outlasts its process, and is replayed once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import zlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from policies.types import Tier
from router.errors import StoreError
from router.record.journal import Journal
from router.record.lines import read_lines, write_line
from router.record.recovery import adopt, replay
from router.record.sink import Sink
from router.record.store import Store
from tests.unit.router.record.records import make_record
from tests.unit.router.record.test_sink import Drops, FlakyStore, wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def nothing(records: int) -> None:
    assert records == 0


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def lives(code: str, folder: Path) -> None:
    """Run ``code`` in a process that is killed at its end, with a journal in ``folder``."""
    program = f"""
        import asyncio, os, signal
        from pathlib import Path
        from router.record.journal import Journal
        from router.record.lines import write_line
        from router.record.sink import Sink
        from router.record.store import Store
        from tests.unit.router.record.records import make_record
        from tests.unit.router.record.test_sink import Drops, FlakyStore
        journal = Journal(Path({str(folder)!r}))
        {code}
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode == -9


def test_a_line_comes_back_as_it_was(tmp_path: Path) -> None:
    plain = make_record("i1", trace=({"tier": "teacher", "reason": "x"},), first_token_ms=131.0)
    odd = make_record(
        "i2", tier=Tier.STUDENT, cost_usd=None, attempts=(), input_text="half \ud83d and \x00"
    )
    path = write(tmp_path / "j", write_line(plain, open_=False), write_line(odd, open_=True))
    lines = [*read_lines(path)]
    assert [line and (line.interaction, line.open) for line in lines] == [
        (plain, False),
        (odd, True),
    ]


def test_a_line_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    record = make_record("i1", first_token_ms=131.0)
    row = json.loads(write_line(record, open_=False).partition(b" ")[2])
    del row["first_token_ms"]
    older = json.dumps(row).encode()
    path = write(tmp_path / "j", b"%08x %s\n" % (zlib.crc32(older), older))
    assert [line and line.interaction for line in read_lines(path)] == [
        replace(record, first_token_ms=None)
    ]


def test_what_is_not_stored_leaves_no_content_on_disk(tmp_path: Path) -> None:
    record = make_record("i1", stored=False, input_text="a secret", answer={"content": "a secret"})
    assert b"secret" not in write_line(record, open_=False)


def test_damaged_lines_are_counted_and_the_others_kept(tmp_path: Path, store: Store) -> None:
    whole = [write_line(make_record(f"i{n}"), open_=False) for n in range(4)]
    flipped = whole[1].replace(b"parcel", b"PARCEL")
    path = write(tmp_path / "j", whole[0], flipped, b"\n", b"zz {}\n", whole[2], whole[3][:-40])
    done = replay([path], store)
    assert (done.new, done.damaged) == (2, 4)
    assert [record.id for record in store.walk()] == ["i0", "i2"]


def test_the_last_word_on_an_interaction_counts(tmp_path: Path, store: Store) -> None:
    early = make_record("i1", status="ok", cost_usd=None, attempts=())
    late = make_record("i1", status="broken")
    other = make_record("i2")
    first = write(tmp_path / "j1", write_line(early, open_=True), write_line(other, open_=True))
    second = write(tmp_path / "j2", write_line(late, open_=False))
    assert replay([first, second], store).new == 2
    assert store.interaction("i1") == late
    assert store.interaction("i2") == other  # its delivery never ended: what was noted counts
    assert replay([first, second], store).new == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a process can't kill itself there")
def test_a_killed_process_is_recovered_once(folder: Path, store: Store) -> None:
    lives(
        "[journal.append(write_line(make_record(f'i{n}'), open_=False)) for n in range(9)]",
        folder,
    )
    store.append([make_record("i3")])  # what it had written of that before
    assert adopt(folder, store, count_lost=nothing) == 8
    assert store.totals().interactions == 9
    assert left(folder) == []
    assert adopt(folder, store, count_lost=nothing) == 0


def test_a_living_process_is_left_alone(folder: Path, store: Store) -> None:
    journal = Journal(folder)
    journal.append(write_line(make_record("i1"), open_=False))
    assert adopt(folder, store, count_lost=nothing) == 0
    journal.close()
    assert adopt(folder, store, count_lost=nothing) == 1


def test_a_store_that_fails_leaves_the_journal_for_later(folder: Path, store: Store) -> None:
    journal = Journal(folder)
    journal.append(write_line(make_record("i1"), open_=False))
    journal.close()
    flaky = FlakyStore()
    flaky.down = True
    with pytest.raises(StoreError):
        adopt(folder, flaky, count_lost=nothing)
    assert adopt(folder, store, count_lost=nothing) == 1


def test_full_segments_go_once_all_of_them_is_stored(folder: Path) -> None:
    line = write_line(make_record("i1"), open_=False)
    journal = Journal(folder, segment_bytes=3 * len(line))
    numbers = [journal.append(line) for _ in range(7)]
    assert numbers == [0, 0, 0, 1, 1, 1, 2]
    journal.release(0, 2)
    assert len(journal.closed()) == 2
    journal.release(0)
    assert len(journal.closed()) == 1
    journal.release(1, 3)
    journal.release(2)
    journal.close()
    assert left(folder) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"can't be written .* give store\.folder"):
        Journal(tmp_path / "file" / "journal")


async def test_many_wait_for_one_flush(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushes.append(1), real(descriptor))[1])
    journal = Journal(folder, sync=True)

    async def settle(n: int) -> None:
        journal.append(write_line(make_record(f"i{n}"), open_=False))
        await journal.synced()

    await asyncio.gather(*(settle(n) for n in range(50)))
    assert 1 <= len(flushes) <= 3
    journal.close()


def make_sink(store: FlakyStore | Store, folder: Path, **more: int) -> tuple[Sink, Drops]:
    drops = Drops()
    return Sink(store, drops, flush_s=0.01, journal=Journal(folder), **more), drops


async def test_what_finds_no_room_is_read_back_from_the_journal(folder: Path) -> None:
    flaky = FlakyStore()
    flaky.down = True
    sink, drops = make_sink(flaky, folder, capacity=3, batch=2)
    records = [make_record(f"i{n}", stream=n % 2 == 0) for n in range(20)]
    for record in records:
        await sink.note(record)
        sink.put(record)
    running = make_record("running", stream=True)  # noted, and not at its end yet
    await sink.note(running)
    assert sink.lag == 20
    flaky.down = False
    wait_until(lambda: sink.lag == 0)
    # Those of the queue are offered once more: a real store skips them.
    assert set(flaky.kept) == {record.id for record in records}
    sink.put(replace(running, status="broken"))
    assert sink.drain(5.0) == 0
    assert flaky.kept[-1] == "running"
    assert (drops.total, drops.bodies) == (0, 0)
    assert left(folder) == []


async def test_a_store_that_stays_away_loses_nothing_at_the_end(folder: Path, store: Store) -> None:
    flaky = FlakyStore()
    flaky.down = True
    sink, drops = make_sink(flaky, folder, capacity=2)
    for n in range(5):
        sink.put(make_record(f"i{n}"))
    assert sink.drain(0.05) == 0
    assert drops.total == 0
    assert adopt(folder, store, count_lost=nothing) == 5


async def test_only_bodies_are_dropped_under_pressure(folder: Path, store: Store) -> None:
    flaky = FlakyStore()
    flaky.down = True
    sink, drops = make_sink(flaky, folder, capacity=1, journal_bytes=4_000)
    for n in range(10):
        sink.put(make_record(f"i{n}"))
    assert sink.drain(0.05) == 0
    assert 0 < drops.bodies < 10
    assert drops.total == 0
    adopt(folder, store, count_lost=nothing)
    kept = [*store.walk()]
    assert len(kept) == 10
    assert all(record.cost_usd == Decimal("0.000123456789") for record in kept)
    assert sum(record.request is None for record in kept) == drops.bodies


async def test_a_disk_without_room_leaves_the_queue(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = FlakyStore()
    sink, drops = make_sink(flaky, folder)

    def fail(*_: object) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "write", fail)
    record = make_record("i1")
    await sink.note(record)
    sink.put(record)
    assert sink.drain(5.0) == 0
    assert (flaky.kept, drops.total) == (["i1"], 0)


def test_what_cannot_be_stored_is_counted_and_its_file_kept(folder: Path) -> None:
    journal = Journal(folder)
    for n in range(3):
        journal.append(write_line(make_record(f"i{n}"), open_=False))
    journal.close()
    flaky = FlakyStore()
    flaky.poison = "i1"
    lost: list[int] = []
    assert adopt(folder, flaky, count_lost=lost.append) == 2
    assert (sorted(flaky.kept), lost) == (["i0", "i2"], [1])
    assert [Path(name).suffix for name in left(folder)] == [".refused"]

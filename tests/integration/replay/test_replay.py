"""``tutelage replay`` on a small stream: its figures, its order, and that it can't see ahead."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distill.streams import read_stream
from router.cli import main
from tests.architecture.sources import ROOT
from tests.integration.replay.streams import (
    Run,
    decisions,
    make_stream,
    replay,
    write_config,
    write_stream,
)

RESULT_KEYS = {
    *("stream", "n", "seed", "promise", "confidence", "asked", "asked_rate", "audited"),
    *("served_by_student", "agreement", "agreement_served", "agreement_worst_window"),
    *("promise_held", "certified", "accuracy", "teacher_accuracy", "cost_usd"),
    *("teacher_cost_usd", "saving", "second_half", "releases", "seconds", "curve"),
    "teacher_noise",
}
TRACE_KEYS = {
    *("id", "draft", "final", "tier", "asked", "background", "propensity", "score"),
    *("threshold", "agreed", "release", "cost_usd"),
}
STREAM = make_stream()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def config(folder: Path) -> Path:
    return write_config(folder)


@pytest.fixture(scope="module")
def base(folder: Path, config: Path) -> Run:
    return replay(write_stream(folder / "base.jsonl", STREAM), "--config", config)


def test_it_learns_serves_and_says_so(base: Run) -> None:
    assert (base.code, base.err) == (0, "")
    result = base.result
    assert result.keys() >= RESULT_KEYS
    assert result["n"] == len(base.trace) == len(STREAM)
    assert result["releases"] >= 2
    assert result["served_by_student"] > 20
    assert result["asked"] == result["n"] - result["served_by_student"]
    assert result["agreement"] >= 0.9
    assert result["promise_held"] is True
    assert (result["promise"], result["confidence"]) == (0.9, 0.95)
    assert [claim["kind"] for claim in result["certified"]] == ["exchangeable"]
    assert "promise held" in base.out
    served = f"{result['agreement_served']:.2%}"
    assert f"(of the student's answers {served}), promise held" in base.out
    assert "Nothing was promised" not in base.out


def test_every_line_of_the_trace_is_complete(base: Run) -> None:
    assert all(line.keys() >= TRACE_KEYS for line in base.trace)
    for line in base.trace:
        if line["tier"] == "student":
            assert line["final"] == line["draft"]
            assert line["score"] >= line["threshold"]
        else:
            assert line["asked"]
            assert line["agreed"]
    proofs = [line for line in base.trace if line["reason"] == "proof"]
    assert all(0 < line["propensity"] <= 0.2 for line in proofs)


def test_the_first_answers_come_from_the_teacher_alone(base: Run) -> None:
    first = base.trace[:100]
    assert all(line["release"] is None and line["tier"] == "teacher" for line in first)
    assert base.trace[100]["release"] is not None


def test_the_figures_can_be_recomputed_from_the_trace(base: Run, folder: Path) -> None:
    script = ROOT / "benchmarks" / "replay" / "recompute.py"
    ended = subprocess.run(
        [sys.executable, script, folder / "base.result", folder / "base.trace"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prices_give_the_saving(base: Run) -> None:
    result = base.result
    assert result["teacher_cost_usd"] == pytest.approx(0.01 * result["n"])
    assert result["cost_usd"] == pytest.approx(0.01 * result["asked"])
    assert result["saving"] == pytest.approx(1 - result["asked_rate"])


def test_gold_is_for_scoring(base: Run) -> None:
    assert base.result["teacher_accuracy"] == pytest.approx(0.92, abs=0.02)
    assert base.result["accuracy"] is not None


def test_noise_in_the_teachers_answers_is_measured_and_told(base: Run) -> None:
    """Of all answers, asked or not, and by gold: what contradicts was drawn by lot."""
    noise = base.result["teacher_noise"]
    assert noise["questions"] == len(STREAM)
    assert 0 < noise["contradicted"] < noise["polled"]
    assert noise["low"] < noise["share"] < noise["high"]
    right = noise["right_there"]
    assert right["teacher"]["known"] == right["neighbours"]["known"] == noise["contradicted"]
    assert right["teacher"]["right"] + right["neighbours"]["right"] <= noise["contradicted"]
    assert f"like questions contradict {noise['contradicted']} of" in base.out


def test_the_same_seed_is_the_same_run(base: Run, folder: Path, config: Path) -> None:
    again = replay(write_stream(folder / "again.jsonl", STREAM), "--config", config)
    assert again.trace == base.trace
    timeless = {"seconds", "stream"}
    assert {k: v for k, v in again.result.items() if k not in timeless} == {
        k: v for k, v in base.result.items() if k not in timeless
    }


def test_what_was_not_asked_has_no_influence(base: Run, folder: Path, config: Path) -> None:
    """The recorded answers to queries that were not asked are exchanged for nonsense, and their
    gold too; with the same coins every decision must be the same."""
    unasked = {line["id"] for line in base.trace if not line["asked"]}
    assert len(unasked) > 20
    altered: list[dict[str, Any]] = [
        row | {"teacher": {"content": f"nonsense {row['id']}"}, "gold": "nonsense"}
        if row["id"] in unasked
        else row
        for row in STREAM
    ]
    other = replay(write_stream(folder / "altered.jsonl", altered), "--config", config)
    assert decisions(other.trace) == decisions(base.trace)
    assert other.result["agreement"] < base.result["agreement"]
    assert other.result["releases"] == base.result["releases"]


def test_what_is_asked_later_has_no_influence_before(base: Run, folder: Path, config: Path) -> None:
    seen = 200
    early = {line["id"] for line in base.trace[:seen]}
    altered = [
        row if row["id"] in early else row | {"teacher": {"content": "nonsense"}} for row in STREAM
    ]
    other = replay(write_stream(folder / "later.jsonl", altered), "--config", config)
    assert decisions(other.trace)[:seen] == decisions(base.trace)[:seen]
    assert decisions(other.trace) != decisions(base.trace)


def ids(run: Run) -> list[str]:
    return [line["id"] for line in run.trace]


def test_order_and_limit(base: Run, folder: Path) -> None:
    stream = write_stream(folder / "order.jsonl", STREAM)
    recorded = [row["id"] for row in STREAM]
    kept = replay(stream, "--no-shuffle", "--limit", "60")
    assert ids(kept) == recorded[:60]
    limited = replay(stream, "--limit", "60")
    assert ids(limited) == ids(base)[:60] != recorded[:60]
    assert ids(replay(stream, "--limit", "60", seed=1)) != ids(limited)
    assert sorted(ids(base)) == sorted(recorded)


def test_without_prices_and_promise_they_are_unknown(folder: Path) -> None:
    run = replay(write_stream(folder / "plain.jsonl", STREAM), "--limit", "60")
    result = run.result
    assert [result[name] for name in ("saving", "cost_usd", "promise", "promise_held")] == [
        None
    ] * 4
    assert (result["asked_rate"], result["certified"]) == (1.0, [])
    assert "Nothing was promised, so nothing was served: give --promise 0.95.\n" in run.out
    assert "student's answers" not in run.out


def test_the_teachers_secret_is_not_needed(tmp_path: Path) -> None:
    keyed = [{"name": "shop", "key_env": "NO_SUCH_KEY"}]
    config = write_config(tmp_path, keys=keyed)
    run = replay(write_stream(tmp_path / "s.jsonl", STREAM[:1]), "--config", config)
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("1 query, 0 releases, ")


def test_help_shows_a_line_of_a_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    (shown,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert len(read_stream(write_stream(tmp_path / "s.jsonl", [json.loads(shown)]))) == 1


def test_a_warm_start_is_known_and_not_counted(folder: Path, config: Path) -> None:
    stream = write_stream(folder / "cold.jsonl", STREAM[120:200])
    warm = write_stream(folder / "warm.jsonl", STREAM[:120])
    run = replay(stream, "--config", config, "--warm-start", warm)
    assert run.result["n"] == len(run.trace) == 80
    assert run.result["releases"] == 1
    assert all(line["release"] is not None for line in run.trace)
    assert run.result["teacher_cost_usd"] == pytest.approx(0.8)
    assert replay(stream, "--config", config).result["releases"] == 0


def test_a_guarantee_is_claimed_as_one(folder: Path, config: Path) -> None:
    run = replay(
        write_stream(folder / "g.jsonl", make_stream(900, hard=0.05)),
        *("--config", config, "--promise", "0.9", "--guarantee"),
    )
    (claimed,) = run.result["certified"]
    assert (claimed["kind"], claimed["over"], claimed["to"]) == ("guaranteed", "all", 900)
    assert run.result["promise_held"] is True
    assert run.result["served_by_student"] > 0
    by_chance = [line for line in run.trace if line["reason"] == "proof"]
    assert by_chance
    assert all(line["asked"] and 0.0 < line["propensity"] < 1.0 for line in by_chance)


def test_an_open_ended_stream_is_never_served(folder: Path, config: Path) -> None:
    rows = [row | {"teacher": {"content": f"Dear customer {i}"}} for i, row in enumerate(STREAM)]
    run = replay(write_stream(folder / "open.jsonl", rows[:260]), "--config", config)
    assert (run.result["served_by_student"], run.result["releases"]) == (0, 0)
    assert (run.result["asked_rate"], run.result["agreement"]) == (1.0, 1.0)
    assert all(line["draft"] is None for line in run.trace)


@pytest.mark.parametrize("distillation", ["denied", "unknown"])
def test_without_a_licence_nothing_is_learned(tmp_path: Path, distillation: str) -> None:
    config = write_config(tmp_path, distillation)
    run = replay(write_stream(tmp_path / "s.jsonl", STREAM[:160]), "--config", config)
    assert (run.result["releases"], run.result["asked_rate"]) == (0, 1.0)


def test_a_stream_that_is_labelled_at_random_stays_within_its_promise(
    folder: Path, config: Path
) -> None:
    labels = sorted({row["teacher"]["content"] for row in STREAM})
    rows = [
        row | {"teacher": {"content": labels[hash_of(row["id"]) % len(labels)]}} for row in STREAM
    ]
    run = replay(write_stream(folder / "noise.jsonl", rows), "--config", config)
    assert run.result["releases"] >= 1
    # A promise over all interactions leaves room for a few drafts that are as good as dice.
    assert run.result["served_by_student"] < 0.1 * len(rows)
    assert run.result["promise_held"] is True


def hash_of(text: str) -> int:
    """The same in every process, unlike ``hash``."""
    return sum(ord(char) * 31**i for i, char in enumerate(text))


@pytest.mark.parametrize(
    "words",
    [
        ("--promise", "1.0"),
        ("--promise", "much"),
        ("--limit", "0"),
        ("--no-shuffle", "--seed", "-1"),
    ],
)
def test_bad_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = replay(write_stream(tmp_path / "s.jsonl", STREAM[:3]), *words)
    assert run.code == 2
    assert "usage: tutelage replay" in run.err


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("--confidence", "0.9"), "belongs to a --promise", 2),
        (("--guarantee",), "belongs to a --promise", 2),
        (("--promise", "0.9", "--usd-per-interaction", "0.1"), "exclude each other", 2),
        (("--config", "none.yaml"), "does not exist", 1),
        (("--warm-start", "none.jsonl"), "does not exist", 1),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(
    tmp_path: Path, words: tuple[str, ...], said: str, code: int
) -> None:
    run = replay(write_stream(tmp_path / "s.jsonl", STREAM[:3]), *words)
    assert (run.code, run.out) == (code, "")
    assert said in run.err
    assert run.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.jsonl"]


@pytest.mark.parametrize("option", ["--out", "--trace"])
def test_a_folder_is_no_file_to_write(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    stream = write_stream(folder / "few.jsonl", STREAM[:3])
    words = ["replay", str(stream), "--out", str(folder / "fine.json"), option, str(folder)]
    assert main(words) == 1
    assert "is a folder; name a file to write" in capsys.readouterr().err
    assert not (folder / "fine.json").exists()


def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    stream = write_stream(tmp_path / "s.jsonl", STREAM[:20])
    command = Path(sys.executable).parent / "tutelage"
    ended = subprocess.run(
        [command, "replay", stream, "--promise", "0.95", "--out", tmp_path / "r.json", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "r.json").exists()

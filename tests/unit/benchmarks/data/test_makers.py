"""Streams are made from files that are laid out as their sources are."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.data import build
from benchmarks.data.check import Stream
from benchmarks.data.makers import (
    Recordings,
    SourceDiffers,
    make_intents,
    make_routed,
    make_traces,
)

_MODELS = ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview")


def _write_table(path: Path, columns: Sequence[str], *rows: Sequence[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def _write_wheel(path: Path, task: str, question: str, output: str) -> Path:
    """A wheel with the one recording of a question under the prompt "Sort.\\n"."""
    asked = [{"role": "system", "content": "Sort.\n"}, {"role": "user", "content": question}]
    # The key as the package documents it: sorted, without space, absent fields null, 0 for 0.0.
    keyed = (
        f'{{"max_tokens":24,"messages":[{{"content":"Sort.\\n","role":"system"}},'
        f'{{"content":{json.dumps(asked[1]["content"])},"role":"user"}}],"model":"m",'
        '"response_format":null,"seed":null,"stop":null,"temperature":0,"top_p":null}'
    )
    head = {
        "teacher_model": "m",
        "generation": {"temperature": 0.0, "max_tokens": 24, "response_format": None},
    }
    record = {
        "key": hashlib.sha256(keyed.encode()).hexdigest(),
        "output": output,
        "latency_ms": 567.94,
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "cost": 5.1e-06, "total_tokens": 13},
    }
    lines = f"{json.dumps(head)}\n{json.dumps(record)}\n"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"taskdistill/_data/tasks/{task}/teacher_prompt.md", "Sort.\n")
        packed = gzip.compress(lines.encode())
        wheel.writestr(f"taskdistill/_data/demos/{task}/teacher_recording.jsonl.gz", packed)
    return path


def _write_routed(folder: Path) -> dict[str, Path]:
    weak, strong = _MODELS
    columns = ("prompt", weak, strong, f"{weak}_response", f"{strong}_response")
    left_out = folder / "contaminated_prompts.jsonl"
    left_out.write_text(json.dumps({"eval_prompt": "1 + 1?"}) + "\n", encoding="utf-8")
    table = _write_table(
        folder / "gsm8k_responses.csv",
        columns,
        ("1 + 1?", "True", "True", "2", "2"),
        ("2 + 2,\nor more?", "False", "True", " 5", "#### 4"),
    )
    return {"gsm8k_responses.csv": table, "contaminated_prompts.jsonl": left_out}


def test_recorded_answers_are_found_by_the_question(tmp_path: Path) -> None:
    wheel = _write_wheel(tmp_path / "w.whl", "banking77", "Where is it?", "Card_Arrival?")
    table = _write_table(
        tmp_path / "train.csv", ("text", "category"), ("Where is it?", "card_delivery")
    )
    (row,) = make_intents({"wheel": wheel, "train.csv": table})
    assert row["id"] == "b77ds-0"
    assert row["gold"] == "card delivery"
    assert row["teacher"] == {
        "content": "card arrival",
        "usage": {"prompt_tokens": 9, "completion_tokens": 4},
        "cost_usd": 5.1e-06,
        "latency_ms": 567.9,
    }
    with pytest.raises(SourceDiffers, match="no answer was recorded to 'Who"):
        Recordings(wheel, "banking77").teacher("Who are you?")


def test_contaminated_prompts_are_left_out(tmp_path: Path) -> None:
    (row,) = make_routed(_write_routed(tmp_path))
    assert row["id"] == "gsm8k-0"
    assert row["request"]["messages"] == [{"role": "user", "content": "2 + 2,\nor more?"}]
    assert row["teacher"] == {"content": "#### 4", "correct": True, "model": _MODELS[1]}
    assert row["student"]["content"] == " 5"
    assert row["student"]["correct"] is False


def test_table_without_a_column_is_refused(tmp_path: Path) -> None:
    files = _write_routed(tmp_path)
    _write_table(files["gsm8k_responses.csv"], ("prompt", *_MODELS))
    with pytest.raises(SourceDiffers, match="has no column 'mixtral"):
        list(make_routed(files))


def test_problem_without_a_solution_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "gsm_greedy_cot1.json"
    problems: list[dict[str, Any]] = [
        {"question": "1 + 1?", "answer": 2, "generated": [], "results": []},
        {"question": "2 + 2?", "answer": 4, "generated": ["ans = 5", "4"], "results": [5.0, 4.0]},
    ]
    path.write_text(json.dumps(problems), encoding="utf-8")
    (row,) = make_traces({"gsm_greedy_cot1.json": path})
    assert row["id"] == "gsm-1"
    assert row["teacher"] == {"content": "ans = 5", "correct": False, "model": "gpt-4"}
    assert row["gold"] == "4"
    path.write_text('[{"question": "1 + 1?"}]', encoding="utf-8")
    with pytest.raises(SourceDiffers, match="problem 0 lacks 'answer'"):
        list(make_traces({"gsm_greedy_cot1.json": path}))


def _run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["build", *options])
    return build.main()


def test_command_holds_what_it_made_against_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_routed(tmp_path)
    folder = str(tmp_path)
    options = ("gsm8k-mixtral-gpt4", "--sources", folder, "--out", folder)
    assert _run(monkeypatch, *options) == 1
    assert "not the file of the tables (1 rows, 1307 expected" in capsys.readouterr().out
    made = tmp_path / "streams" / "gsm8k-mixtral-gpt4.jsonl.gz"
    first = made.read_bytes()
    assert _run(monkeypatch, *options) == 1
    assert made.read_bytes() == first


def test_what_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "bfcl-a", "--out", str(tmp_path)) == 2
    assert "no builder makes bfcl-a: the recorded answers" in capsys.readouterr().err
    options = ("gsm8k-gpt4-traces", "--sources", str(tmp_path), "--out", str(tmp_path))
    assert _run(monkeypatch, *options) == 2
    assert "has no gsm_greedy_cot1.json" in capsys.readouterr().err


def test_an_address_that_does_not_answer_is_named(tmp_path: Path) -> None:
    entry = {"holds": "a", "source": "a", "revision": "a", "licence": "a", "rows": 1}
    digests = {"sha256": "0" * 64, "contents": "0" * 64}
    files = {"a": "https://127.0.0.1:9/a.csv"}
    stream = Stream.model_validate({**entry, **digests, "builder": "b", "files": files})
    with pytest.raises(build.SourceMissing, match=r"https://127.0.0.1:9/a.csv can't be fetched"):
        build.gather(stream, None, tmp_path)

"""The command on the demonstration's messages, written as an OpenAI log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distill.demo.shop import read_shop
from router.cli import main


def write_log(path: Path, first: int, last: int) -> None:
    with path.open("w") as file:
        for i, row in enumerate(read_shop(last)[first:]):
            message = {"role": "assistant", "content": row.teacher.answer.content}
            response = {
                "id": row.id,
                "created": 1_767_225_600 + 1_200 * i,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 3},
            }
            file.write(json.dumps({"request": row.body, "response": response}) + "\n")


@pytest.mark.long
def test_what_is_predicted_is_what_a_replay_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, page = tmp_path / "log.jsonl", tmp_path / "report.html"
    write_log(log, 0, 1_000)
    prices = ["--input-usd", "2", "--output-usd", "8"]
    assert main(["appraise", str(log), "--runs", "3", "--html", str(page), "--json", *prices]) == 0
    found = json.loads(capsys.readouterr().out)
    (workload,) = found["workloads"]
    predicted = workload["forecast"]
    assert found["cost_usd"] == "0.224"
    assert found["month"]["interactions"] == pytest.approx(2_162, abs=2)
    assert page.read_text().startswith("<!doctype html>")
    stream = tmp_path / "stream.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    stream.write_text(
        "".join(
            json.dumps(
                {
                    "id": line["response"]["id"],
                    "request": line["request"],
                    "teacher": {"content": line["response"]["choices"][0]["message"]["content"]},
                }
            )
            + "\n"
            for line in lines
        )
    )
    out = tmp_path / "result.json"
    live = ["replay", str(stream), "--promise", "0.95", "--no-shuffle", "--seed", "77"]
    assert main([*live, "--out", str(out)]) == 0
    reached = json.loads(out.read_text())["served_by_student"] / 1_000
    assert predicted["served"]["low"] <= reached <= predicted["served"]["high"]


def test_too_few_requests_are_measured_and_nothing_is_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    write_log(log, 0, 50)
    assert main(["appraise", str(log)]) == 0
    said = capsys.readouterr().out
    assert "50 answered requests, 16 hours, cost unknown" in said
    assert "nothing is predicted: 50 interactions are too few to predict from" in said
    assert "A month can't be told from 16 hours" in said
    assert main(["appraise", str(log), "--runs", "1"]) == 2
    assert main(["appraise", str(tmp_path / "none.jsonl")]) == 1

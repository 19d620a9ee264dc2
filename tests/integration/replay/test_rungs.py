"""A configuration whose workload has further models, replayed: the stream knows none of them."""

from __future__ import annotations

from pathlib import Path

from tests.integration.replay.streams import (
    decisions,
    make_stream,
    replay,
    write_config,
    write_stream,
)

SERVER = {"upstream": "http://127.0.0.1:9/v1", "price": {"usd_per_request": 0.001}}
MODELS = {
    "teacher": {**SERVER, "model": "big", "distillation": "allowed"},
    "mid": {**SERVER, "model": "mid"},
}


def test_further_models_make_no_draft_and_that_is_said(tmp_path: Path) -> None:
    stream = write_stream(tmp_path / "s.jsonl", make_stream(60))
    workload = {"name": "shop", "match": {"system_prompt": "*"}, "promise": {"agreement": 0.9}}
    with_it = write_config(
        tmp_path, models=MODELS, workloads=[{**workload, "rungs": ["mid"]}]
    ).rename(tmp_path / "with.yaml")
    without = write_config(tmp_path, models=MODELS, workloads=[workload])
    run = replay(stream, "--config", with_it)
    plain = replay(stream, "--config", without)
    assert run.code == 0, run.err
    assert "The rungs of workload 'shop' (mid) made no draft" in run.err
    assert "made no draft" not in plain.err
    assert decisions(run.trace) == decisions(plain.trace)

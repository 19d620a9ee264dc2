"""``tutelage distill train``, from an imported log to a candidate with a gate. The model that is
trained has a few thousand weights; the server that drafts is the shipped stand-in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.record.store import Store
from router.release import Release, load_release
from tests.integration.generative.fake_vllm import FakeVllm, said_by_teacher
from tests.training_environment import training_python

pytestmark = pytest.mark.long

TUTELAGE = Path(sys.executable).parent / "tutelage"
ROWS, SHARE = 300, "0.4"


def write_log(path: Path, *, rows: int = ROWS, seed: int = 0) -> Path:
    """Messages that hardly share a word, with the teacher's answers."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        for i in range(rows):
            words = ["".join(rng.choice(list("abcdefghij"), size=6)) for _ in range(4)]
            text = " ".join([*words, "parcel" if i % 3 else "login", "??" if i % 4 == 0 else ""])
            asked = {"model": "big", "messages": [{"role": "user", "content": text}]}
            said = {"role": "assistant", "content": said_by_teacher(text)}
            answer = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
            file.write(json.dumps({"request": asked, "response": answer}) + "\n")
    return path


def configure(folder: Path, server: str) -> Path:
    config = folder / "tutelage.yaml"
    config.write_text(
        f"store: {{url: 'sqlite:///{folder}/t.db'}}\n"
        "models:\n"
        "  teacher: {upstream: 'http://127.0.0.1:9/v1', model: big, distillation: allowed}\n"
        f"  student: {{kind: openai, upstream: '{server}', model: small}}\n"
        "workloads: [{name: shop, match: '*', compare: label}]\n"
    )
    Store.open(f"sqlite:///{folder}/t.db").close()
    return config


async def start(*words: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        TUTELAGE,
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )


async def tutelage(*words: str | Path) -> tuple[int, str, str]:
    process = await start(*words)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def prepare(folder: Path, server: FakeVllm) -> tuple[Path, str]:
    """The configuration, and the digest of a dataset of the imported log."""
    config = configure(folder, server.base_url)
    log = write_log(folder / "log.jsonl")
    code, _, err = await tutelage(
        "data", "import", log, "--workload", "shop", "--teacher", "teacher", "--config", config
    )
    assert code == 0, err
    code, out, err = await tutelage(
        *("distill", "dataset", "build", "--workload", "shop", "--held-out", SHARE),
        *("--json", "--config", config),
    )
    assert code == 0, err
    return config, json.loads(out)["digest"]


def train(config: Path, base: Path, digest: str, *more: str) -> list[str | Path]:
    place = ["--base", base, "--python", training_python(), "--config", config, "--json"]
    small = ["--epochs", "2", "--batch", "8", "--rank", "4", "--checkpoint-steps", "4"]
    return ["distill", "train", "--dataset", digest, *place, *small, *more]


def read_curve(said: dict[str, Any]) -> list[int]:
    lines = Path(said["curve"]).read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def read(folder: Path, digest: str) -> Release:
    store = Store.open(f"sqlite:///{folder}/t.db")
    row = store.release(digest)
    store.close()
    assert row is not None
    assert row.state == "candidate"
    return load_release(Path(row.path))


async def test_recorded_answers_become_a_candidate_with_a_gate(tmp_path: Path, base: Path) -> None:
    async with FakeVllm() as server:
        config, dataset = await prepare(tmp_path, server)
        code, out, err = await tutelage(*train(config, base, dataset))
        assert code == 0, err
    said: dict[str, Any] = json.loads(out)
    release = read(tmp_path, said["release"])
    assert release.dataset == dataset == said["dataset"]
    assert release.gate is not None
    student = release.student
    assert student is not None
    (name,) = server.adapters
    # Every held-out draft was asked of the adapter that was just trained, and of nothing else.
    asked = [request.body["model"] for request in server.requests]
    drafted = said["judged"]["drafted"]
    assert asked.count(name) >= drafted == round(float(SHARE) * ROWS)
    assert student.to_meta()["adapter"].startswith(name.partition("@")[2])
    wrong = said["judged"]["drafted"] - said["judged"]["agreed"]
    assert 10 < wrong < 50  # those with two question marks
    assert read_curve(said) == list(range(1, 46))  # two epochs of 180 examples, eight a step
    # Nothing of the answers is left beside the dataset but the weights that learned from them.
    kept = {path.suffix for path in (tmp_path / "t-training").rglob("*") if path.is_file()}
    assert kept <= {".json", ".jsonl", ".safetensors", ".pt", ".log", ".db"}


async def test_a_run_that_was_ended_goes_on(tmp_path: Path, base: Path) -> None:
    async with FakeVllm() as server:
        config, dataset = await prepare(tmp_path, server)
        process = await start(*train(config, base, dataset, "--no-gate"))
        curves = tmp_path / "t-training" / "shop" / "runs"
        async with asyncio.timeout(120):
            while not list(curves.glob("*/checkpoint.pt")):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        assert process.returncode == 1
        assert "goes on from the last checkpoint" in err.decode()
        code, out, err_again = await tutelage(*train(config, base, dataset, "--no-gate"))
        assert code == 0, err_again
    said = json.loads(out)
    assert read(tmp_path, said["release"]).gate is None
    assert read_curve(said) == list(range(1, 46))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--base", "no/such"], "no/such is neither"),
        (["--pin", "0123"], "was pinned"),
        (["--recipe", "fine-tune"], "continues a trained student"),
        (["--python", "no-such-python"], "--python"),
        (["--python", sys.executable], "tutelage[train]"),
    ],
    ids=["base", "pin", "start", "python", "environment"],
)
async def test_what_cannot_be_trained_is_told_in_a_sentence(
    more: list[str], said: str, tmp_path: Path, base: Path
) -> None:
    async with FakeVllm() as server:
        config, dataset = await prepare(tmp_path, server)
        code, _, err = await tutelage(*train(config, base, dataset), *more)
    assert code == 1
    assert said in err
    assert "Traceback" not in err


async def test_no_server_is_told_before_any_training(tmp_path: Path, base: Path) -> None:
    async with FakeVllm() as server:
        config, dataset = await prepare(tmp_path, server)
    code, _, err = await tutelage(*train(config, base, dataset))
    assert code == 1
    assert "could not be reached" in err
    assert not list((tmp_path / "t-training").rglob("checkpoint.pt"))

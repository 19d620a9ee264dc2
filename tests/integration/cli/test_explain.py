"""``tutelage explain`` over the store of a gateway that answered, and of one that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from policies.promise.certificate import Certificate, Terms
from policies.types import Trial
from router.cli import main
from router.record.model import PromiseState
from router.record.store import Store
from router.testing import FakeUpstream
from router.wire.profile import profile_of
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.gateway.test_student import ask, promote, workload
from tests.unit.router.record.records import make_record

SURE, UNSURE = "where is my parcel", "zq 7781 ??"
THRESHOLD = {"policy": "threshold", "threshold": 0.92, "audit": {"max_share": 0.25}}


@asynccontextmanager
async def answering(folder: Path, **policy: Any) -> AsyncIterator[str]:
    """A gateway with a release, which stops before the store is read again."""
    promote(folder)
    async with (
        FakeUpstream("parcel") as up,
        gateway(folder, up.base_url, **workload(**policy)) as base,
    ):
        yield base


def configure(folder: Path, **policy: Any) -> None:
    """The store and the configuration of a gateway that never ran."""
    promote(folder)
    models = {"teacher": {"upstream": "http://127.0.0.1:9/v1", "model": "m", "aliases": ["big"]}}
    store = {"url": f"sqlite:///{folder}/t.db"}
    document = {"models": models, "store": store, **workload(**policy)}
    (folder / "tutelage.yaml").write_text(json.dumps(document))


def explain(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    config = str(folder / "tutelage.yaml")
    assert main(["explain", *words, "--config", config, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert main(["explain", *words, "--config", config]) == 0
    text = capsys.readouterr().out
    assert told["reason"] in text
    assert told["why"] in text
    assert all(sentence in text for sentence in told["otherwise"])
    return told


def plan(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str = SURE, **more: Any
) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]} | more
    file = folder / "body.json"
    file.write_text(json.dumps(body))
    return explain(folder, capsys, "--request", str(file))


def refuse(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert main(["explain", *map(str, words)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("tutelage: ")
    assert said.err.count("\n") == 1
    return said.err


async def test_what_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with answering(tmp_path, **THRESHOLD) as base:
        answer = await ask(base, UNSURE)
        private = await ask(base, UNSURE, extra_body={"tutelage": {"store": False}})
        choices = await ask(base, SURE, n=2)
        pinned = await client(base).chat.completions.with_raw_response.create(
            model="teacher", messages=[{"role": "user", "content": SURE}]
        )
    ids = [one.headers["x-tutelage-id"] for one in (answer, private, choices, pinned)]
    told = explain(tmp_path, capsys, ids[0])
    assert (told["tier"], told["reason"], told["threshold"]) == ("teacher", "below_threshold", 0.92)
    assert told["confidence"] == pytest.approx(float(answer.headers["x-tutelage-confidence"]), 1e-4)
    assert [step["reason"] for step in told["steps"]] == ["draft", "below_threshold"]
    assert told["release"] == answer.headers["x-tutelage-release"]
    assert told["costs"]["usd"] == answer.headers["x-tutelage-cost-usd"]
    assert told["recorded"]["text"] == UNSURE
    assert told["recorded"]["draft_agreed"] in (True, False)
    assert [one["status"] for one in told["recorded"]["attempts"]] == [200]
    assert told["notes"] == []
    hidden = explain(tmp_path, capsys, ids[1])
    assert (hidden["recorded"]["text"], hidden["recorded"]["answer"]) == ("", None)
    assert "weren't stored" in hidden["notes"][0]
    assert "several choices" in explain(tmp_path, capsys, ids[2])["dropped"][0]["why"]
    assert explain(tmp_path, capsys, f"chatcmpl-{ids[3]}")["reason"] == "pinned"


async def test_a_changed_configuration_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(tmp_path, **THRESHOLD) as base:
        found = (await ask(base, UNSURE)).headers["x-tutelage-id"]
    config = tmp_path / "tutelage.yaml"
    config.write_text(config.read_text().replace("0.92", "0.5"))
    assert "configuration has changed" in explain(tmp_path, capsys, found)["notes"][0]


async def test_beside_a_gateway_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(tmp_path, promise={"agreement": 0.95}) as base:
        await ask(base, SURE)
        # In another thread, since a running loop allows no second one.
        told = await asyncio.to_thread(plan, tmp_path, capsys)
        after = await ask(base, SURE)
    assert (told["tier"], told["reason"]) == ("teacher", "observe")
    assert told["standing"]["outlook"]["cause"] in ("too_few", "not_proven")
    assert after.headers["x-tutelage-reason"] == "observe"


def test_a_draft_that_would_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, **THRESHOLD)
    told = plan(tmp_path, capsys)
    assert (told["tier"], told["reason"]) == ("student", "above_threshold")
    assert [(one["probability"], one["reason"]) for one in told["branches"]] == [
        (0.75, "above_threshold"),
        (0.25, "audit"),
    ]
    assert told["propensity"] == 0.25
    assert told["signals"].keys() == {"margin", "top", "runner_up", "neighbour_agreement"} | {
        "nearest"
    }
    assert plan(tmp_path, capsys, UNSURE)["reason"] == "below_threshold"
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert store.workloads() == []  # nothing was recorded
    store.close()


@pytest.mark.parametrize(
    ("more", "reason", "said"),
    [
        ({"n": 2}, "not_cascadable", "several choices"),
        ({"response_format": {"type": "json_object"}}, "not_cascadable", "form of answer"),
        (
            {"tutelage": {"workload": "another"}},
            "policy_teacher",
            "the policy doesn't ask it",
        ),
        ({"tutelage": {"force": "teacher"}}, "forced", "the request names who answers"),
        ({"model": "student"}, "pinned", "the request names who answers"),
    ],
)
def test_why_a_step_is_dropped(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, Any],
    reason: str,
    said: str,
) -> None:
    promote(tmp_path, forms={profile_of({}).form})
    models = {"teacher": {"upstream": "http://127.0.0.1:9/v1", "model": "m"}}
    document = {
        "models": models,
        "store": {"url": f"sqlite:///{tmp_path}/t.db"},
        **workload(**THRESHOLD),
    }
    (tmp_path / "tutelage.yaml").write_text(json.dumps(document))
    told = plan(tmp_path, capsys, **more)
    assert told["reason"] == reason
    assert said in told["dropped"][0]["why"]


def prove(folder: Path, agreement: float) -> None:
    """Store a certificate that has accepted every level, and what a call of the teacher costs."""
    certificate = Certificate(Terms(agreement=agreement))
    for _ in range(3000):
        certificate.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    store = Store.open(f"sqlite:///{folder}/t.db")
    state = PromiseState(terms=certificate.key, state=certificate.state())
    store.append([make_record("i", workload="shop")], {"shop": state})
    store.close()


def test_a_certified_draft_hangs_on_the_coin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path, promise={"agreement": 0.9}, audit={"proof_share": 0.2})
    prove(tmp_path, 0.9)
    told = plan(tmp_path, capsys)
    assert (told["tier"], told["reason"], told["level_in_force"]) == ("student", "certified", 20)
    assert [one["reason"] for one in told["branches"]] == ["certified", "proof"]
    assert told["threshold"] == told["levels"][19]["threshold"]
    assert told["propensity"] == pytest.approx(0.2)
    assert told["standing"]["outlook"]["cause"] == "last_level"
    assert float(told["costs"]["expected_usd"]) == pytest.approx(
        0.2 * float(told["costs"]["teacher_usd"])
    )
    limited = plan(tmp_path, capsys, tutelage={"max_cost_usd": 1e-9})
    assert [one["reason"] for one in limited["branches"]] == ["certified", "max_cost_exceeded"]
    unsure = plan(tmp_path, capsys, UNSURE, tutelage={"max_cost_usd": 1e-9})
    assert (unsure["tier"], unsure["reason"]) == ("none", "max_cost_exceeded")
    assert [step["reason"] for step in unsure["steps"]] == ["draft"]


def test_without_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, **THRESHOLD)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    store.retire_active("shop", "test")
    store.close()
    told = plan(tmp_path, capsys)
    assert (told["reason"], told["skipped"]) == (
        "no_release",
        "no release is in force for this workload",
    )


def test_whose_request_it_is_must_be_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path, **THRESHOLD)
    config, body = tmp_path / "tutelage.yaml", tmp_path / "body.json"
    keys = [{"name": name, "key_env": f"{name.upper()}_KEY"} for name in ("shop", "bank")]
    config.write_text(json.dumps(json.loads(config.read_text()) | {"keys": keys}))
    body.write_text(json.dumps({"model": "big", "messages": [{"role": "user", "content": SURE}]}))
    words = ("--request", str(body), "--config", str(config))
    assert "Say with --key whose request it is" in refuse(capsys, *words)
    assert "There is no key nobody" in refuse(capsys, *words, "--key", "nobody")
    assert explain(tmp_path, capsys, "--request", str(body), "--key", "bank")["workload"] == (
        "shop@bank"
    )


def test_what_cannot_be_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tutelage.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert "no tutelage.yaml here" in refuse(capsys, "int_1")
    config.write_text(json.dumps({"store": {"url": f"sqlite:///{tmp_path}/none.db"}}))
    assert "There is no store at" in refuse(capsys, "int_1", "--config", config)
    assert not (tmp_path / "none.db").exists()
    configure(tmp_path, **THRESHOLD)
    assert "holds no interaction int_1" in refuse(capsys, "int_1", "--config", config)
    file = tmp_path / "body.json"
    missing = refuse(capsys, "--request", file, "--config", config)
    assert "body.json can't be read: No such file" in missing
    for text, said in (
        ("{", "request body"),
        ('{"messages": []}', "model"),
        ('{"model": "auto", "messages": [], "tutelage": {"x": 1}}', "tutelage.x"),
        ('{"model": "gpt", "messages": [{"role": "user"}]}', "'gpt' does not exist"),
    ):
        file.write_text(text)
        assert said in refuse(capsys, "--request", file, "--config", config)


@pytest.mark.parametrize("words", [(), ("int_1", "--request", "body.json")])
def test_bad_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", *words])
    assert ended.value.code == 2
    assert "usage: tutelage explain" in capsys.readouterr().err

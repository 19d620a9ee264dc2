"""Datasets and what is kept, as an operator works with them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from router.release import load_release
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop

MESSAGES = make_messages(150, seed=4)
WORKLOAD = "support"
USER = "customer-4711"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(folder=tmp_path)
    now = time.time()
    made.answer(MESSAGES[:110], created_at=now - 100)
    made.answer(MESSAGES[110:], prefix="j", created_at=now - 50, key_name="web")
    return made


def built(shop: Shop, *options: str) -> dict[str, Any]:
    said = shop.run("distill", "dataset", "build", "--workload", WORKLOAD, *options, "--json")
    assert said.code == 0, said
    manifest: dict[str, Any] = json.loads(said.out)
    return manifest


def test_a_dataset_from_build_to_export(shop: Shop) -> None:
    first = built(shop, "--near", "0")
    assert first["examples"] == 150
    assert first["splits"]["train"] > 0
    assert built(shop, "--near", "0")["digest"] == first["digest"]
    shown = shop.run("distill", "dataset", "show", first["digest"][:8])
    assert "150 examples" in shown.out
    shop.answer([("a new question about a kite", "parcel")], prefix="k", created_at=time.time())
    second = built(shop, "--near", "0", "--since", first["digest"][:10], "--held-out", "0")
    assert second["mix"] == {"new": 1, "replayed": 0}
    listed = shop.run("distill", "dataset", "show", "--json")
    assert {one["digest"] for one in json.loads(listed.out)} == {first["digest"], second["digest"]}
    diff = shop.run("distill", "dataset", "diff", first["digest"], second["digest"], "--json")
    found = json.loads(diff.out)
    assert (len(found["removed"]), found["added"]) == (150, ["k-0"])
    out = shop.folder / "train.jsonl"
    words = ("distill", "dataset", "export", first["digest"], "--out", str(out))
    assert shop.run(*words, "--split", "train").code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == first["splits"]["train"]
    assert lines[0]["messages"][-1]["role"] == "assistant"
    assert "nothing worse" in shop.run(*words, "--format", "preference").refusal


def test_what_is_no_dataset_is_refused(shop: Shop) -> None:
    assert (
        "there are: support" in shop.run("distill", "dataset", "build", "--workload", "x").refusal
    )
    assert "No datasets begin" in shop.run("distill", "dataset", "show", "abcdef").refusal
    assert shop.run("distill", "dataset", "show").out == "No datasets yet.\n"


def test_erasing_names_the_release_that_learned(shop: Shop) -> None:
    assert shop.run("distill", "run").code == 0
    store = shop.open()
    (release,) = store.releases()
    learned_from = release.report["dataset"]["digest"]
    assert load_release(Path(release.path)).dataset == learned_from
    store.close()
    said = shop.run("data", "erase", "--key", "web", "--json")
    report = json.loads(said.out)
    assert report["records"] == 40
    assert [one["digest"] for one in report["releases"]] == [release.digest]
    assert [one["digest"] for one in report["datasets"]] == [learned_from]
    again = json.loads(shop.run("data", "erase", "--key", "web", "--json").out)
    assert (again["records"], again["datasets"]) == (0, [])
    shown = shop.run("distill", "dataset", "show", report["datasets"][0]["successor"], "--json")
    assert json.loads(shown.out)["keys"] == {"shop": 110}
    assert "learned from it" not in shop.run("data", "erase", "--user", USER).out


def test_purging_reaches_records_and_datasets(shop: Shop) -> None:
    shop.answer([("an old question", "parcel")], prefix="o", created_at=time.time() - 40 * 86_400)
    digest = built(shop)["digest"]
    said = shop.run("data", "purge", "--older-than-days", "30")
    assert said.out.startswith("1 record purged.")
    assert f"dataset {digest[:12]} of support withdrawn" in said.out
    assert shop.run("data", "purge").out == "0 records purged.\n"


def test_a_log_is_imported_once_and_learned_from(tmp_path: Path) -> None:
    shop = Shop(folder=tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(
            json.dumps(
                {
                    "request": {"model": "m", "messages": [{"role": "user", "content": text}]},
                    "response": {
                        "model": "m-1",
                        "choices": [{"message": {"role": "assistant", "content": label}}],
                    },
                }
            )
            + "\n"
            for text, label in MESSAGES
        )
        + "{\n"
    )
    first = json.loads(shop.run("data", "import", str(log), "--workload", "in", "--json").out)
    assert first == {
        "read": 150,
        "new": 150,
        "workloads": {"in": 150},
        "left_out": {"no JSON": 1},
    }
    assert "0 of them new" in shop.run("data", "import", str(log), "--workload", "in").out
    cycle = shop.run("distill", "run")
    assert "release 1 learned from 150 questions" in cycle.out
    keyed = Shop(folder=tmp_path, settings={"keys": [{"name": "a", "key_env": "A"}]})
    assert "Say whose traffic it is" in keyed.run("data", "import", str(log)).refusal
    assert "has no train_on" in keyed.run("data", "import", str(log), "--key", "a").out

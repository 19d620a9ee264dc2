"""A release's card: what the store, the dataset and the drafts say of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from policies.types import Answer
from router.wire.openai import answer_to_json
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop, interactions

MESSAGES = make_messages(260, seed=1)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """One that has learned, and whose release has drafted 100 times, 90 of them as the teacher."""
    shop = Shop(folder=tmp_path)
    shop.answer(MESSAGES[:150])
    assert shop.run("distill", "run").code == 0
    store = shop.open()
    digest = store.active_releases()["support"]
    drafted = {"release": digest, "confidence": 0.9, "seen": True}
    records = [
        replace(
            one,
            draft=one.teacher_answer if i % 10 else answer_to_json(Answer(content="no idea")),
            draft_agreed=i % 10 != 0,
            created_at=one.created_at + 1.0,
        )
        for i, one in enumerate(interactions(MESSAGES[150:250], "j", **drafted))
    ]
    store.append(records)
    store.close()
    return shop


def test_the_card_holds_data_rungs_and_what_was_preserved(shop: Shop) -> None:
    store = shop.open()
    digest = store.active_releases()["support"]
    store.close()
    said = shop.run("releases", "card", digest[:8], "--json")
    assert (said.code, said.err) == (0, "")
    card = json.loads(said.out)
    assert (card["digest"], card["state"], card["number"]) == (digest, "active", 1)
    assert card["student"]["kind"] == "embedded"
    assert card["data"]["licence"] == "allowed"
    assert card["data"]["questions"] == 150
    assert sum(card["data"]["teachers"].values()) == 150
    names = [rung["name"] for rung in card["rungs"]]
    assert names == ["agreement", "calibration", "forgetting", "shadow", "canary"]
    preserved = {one["name"]: one for one in card["preserved"]}
    assert preserved["in the form asked for"]["student"]["value"] == 1.0
    assert preserved["refuses"]["n"] == 100
    assert (
        preserved["characters"]["student"]["value"] != preserved["characters"]["teacher"]["value"]
    )
    overall = card["agreement"][0]
    assert (overall["name"], overall["n"], overall["student"]["value"]) == ("all", 100, 0.9)
    assert 0.82 < overall["student"]["low"] < 0.86
    assert any(one["name"].startswith("answer ") for one in card["agreement"])
    assert [one["action"] for one in card["events"]] == ["promoted"]


def test_in_markdown_for_people(shop: Shop) -> None:
    store = shop.open()
    digest = store.active_releases()["support"]
    store.close()
    page = shop.run("releases", "card", digest[:8]).out
    assert page.startswith("# Release 1 of support\n")
    assert "| all | 90.0 % (84.1–95.9) | – | 100 |" in page
    assert "| canary | skipped | 0 | There is no release in force" in page
    assert "- licence: allowed" in page


def test_a_release_that_is_not_there_is_one_sentence(shop: Shop) -> None:
    assert "releases begin with" in shop.run("releases", "card", "123456").refusal

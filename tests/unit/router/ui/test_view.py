from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from policies.types import Tier
from router.errors import NotFound
from router.record.store import Store
from router.settings.model import (
    KeySettings,
    ModelSettings,
    Price,
    PromiseSettings,
    Settings,
    WorkloadSettings,
)
from router.ui.notes import SinkReading
from router.ui.standing import AccountReading
from router.ui.view import build_view
from tests.unit.router.record.records import make_record

TEACHER = ModelSettings(
    upstream="http://127.0.0.1:1/v1",
    model="big",
    price=Price(input=Decimal(2), output=Decimal(8)),
    distillation="allowed",
)


def make_settings(**changes: Any) -> Settings:
    shop = WorkloadSettings(name="shop", promise=PromiseSettings(agreement=0.95))
    return Settings(**({"models": {"teacher": TEACHER}, "workloads": (shop,)} | changes))


def read(level: int | None = None, bound: float | None = None) -> AccountReading:
    return AccountReading(level=level, levels=20, lower_bound=bound, progress=0.4, trials=77)


def view(
    store: Store,
    workload: str | None = None,
    *,
    settings: Settings | None = None,
    reading: AccountReading | None = None,
    dropped: int = 0,
) -> dict[str, Any]:
    made = build_view(
        store,
        settings or make_settings(),
        workload,
        readings={"shop": reading or read()},
        sink=SinkReading(dropped=dropped, waiting=3),
        at=5.0,
    )
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def promote(store: Store) -> None:
    store.add_release(digest="aa11", workload="shop", path="/x")
    store.set_active("shop", "aa11", "it agrees more often")


def titles(made: dict[str, Any], weight: str = "alert") -> list[str]:
    return [note["title"] for note in made["notes"] if note["weight"] == weight]


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(":memory:", lambda: 50.0)
    yield opened
    opened.close()


def test_an_empty_store_has_a_view(store: Store) -> None:
    made = view(store)
    assert made["totals"]["interactions"] == 0
    assert made["totals"]["cost_each"] is None
    assert (made["series"], made["latest"], made["releases"], made["cycles"]) == ([], [], [], [])
    assert (made["workloads"], made["waiting"], made["at"]) == (["shop"], 3, 5.0)
    assert made["notes"] == []


def test_money_is_exact_and_readable(store: Store) -> None:
    costs = [Decimal("0.00006"), Decimal("0.00008")]
    store.append([make_record(f"i{n}", cost_usd=cost) for n, cost in enumerate(costs)])
    each = view(store)["totals"]["cost_each"]
    assert each == {"usd": "0.00007", "text": "$0.0000700"}
    assert [row["cost"]["usd"] for row in view(store)["latest"]] == ["0.00008", "0.00006"]


def test_drafts_of_an_unpriced_teacher_are_no_saving(store: Store) -> None:
    served = {"tier": Tier.STUDENT, "cost_usd": Decimal(0), "teacher_cost_usd": None}
    store.append([make_record("t", cost_usd=None, teacher_cost_usd=None)])
    store.append([make_record(f"s{n}", **served) for n in range(3)])
    unpriced = TEACHER.model_copy(update={"price": None})
    made = view(store, settings=make_settings(models={"teacher": unpriced}))
    assert made["totals"]["cost_each"] is None
    assert made["totals"]["saving"] is None
    assert {figures["cost_each"] is None for figures in made["series"]} == {True}
    assert titles(made) == ["Cost is unknown"]


def test_estimates_are_counted(store: Store) -> None:
    store.append([make_record("a"), make_record("b", teacher_cost_estimated=True)])
    assert view(store)["totals"]["teacher_estimated"] == 1


def test_one_workload_shows_its_own(store: Store) -> None:
    store.append([make_record("a", workload="shop"), make_record("b", workload="mail")])
    store.add_release(digest="bb22", workload="mail", path="/x")
    made = view(store, "shop")
    assert made["totals"]["interactions"] == 1
    assert [row["id"] for row in made["latest"]] == ["a"]
    assert made["releases"] == []
    assert (made["workloads"], made["answers"]) == (["mail", "shop"], 1)
    assert view(store)["answers"] == 2


def test_an_unknown_workload_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        view(store, "nowhere")


@pytest.mark.parametrize("keys, shown", [(0, True), (1, True), (2, False)])
def test_one_keys_prompts_are_not_shown_to_another(store: Store, keys: int, shown: bool) -> None:
    store.append([make_record("a", input_text="x" * 1000)])
    several = tuple(
        KeySettings(name=f"k{n}", tenant="t", key_env="K", train_on=True) for n in range(keys)
    )
    made = view(store, settings=make_settings(keys=several))
    assert made["latest"][0]["text"] == ("x" * 160 if shown else None)


def test_releases_tell_why_and_cycles_what_came_of_them(store: Store) -> None:
    promote(store)
    cycle = store.begin_cycle("shop", 130)
    assert cycle is not None
    detail = {"agreement": 0.871234, "held": True, "rows": 130, "why": "ok", "slices": [1, 2]}
    store.end_cycle(cycle, "promoted", detail)
    made = view(store)
    assert made["releases"] == [
        {
            "workload": "shop",
            "number": 1,
            "digest": "aa11",
            "state": "active",
            "created_at": 50.0,
            "promoted_at": 50.0,
            "why": "it agrees more often",
        }
    ]
    assert made["cycles"][0]["outcome"] == "promoted"
    assert made["cycles"][0]["detail"] == "agreement 0.8712 · held true · rows 130 · why ok"


def test_digests_in_sentences_are_short(store: Store) -> None:
    first, second = "0123456789abcdef" * 4, "fedcba9876543210" * 4
    for digest in (first, second):
        store.add_release(digest=digest, workload="shop", path="/x")
        store.set_active("shop", digest, "shop: better")
    whys = [release["why"] for release in view(store)["releases"]]
    assert whys == ["better", "release fedcba987654 took its place"]


@pytest.mark.parametrize("name", ["sentence", "error"])
def test_a_cycle_speaks_for_itself(store: Store, name: str) -> None:
    cycle = store.begin_cycle("shop", 130)
    assert cycle is not None
    store.end_cycle(cycle, "rejected", {"noise": 0.1, name: "shop: not better than release 1."})
    assert view(store)["cycles"][0]["detail"] == "not better than release 1."


def test_a_long_list_says_how_much_is_left_out(store: Store) -> None:
    for n in range(11):
        store.add_release(digest=f"d{n}", workload="shop", path="/x")
    store.append([make_record(f"i{n}", workload=f"w{n}") for n in range(202)])
    made = view(store)
    assert (len(made["releases"]), made["more_releases"]) == (8, 3)
    assert (len(made["workloads"]), made["more_workloads"]) == (200, 3)
    assert view(store, "w99")["totals"]["interactions"] == 1


@pytest.mark.parametrize(
    "released, level, mode",
    [
        (False, 4, "Observing: no release yet, nothing is served"),
        (True, None, "Observing: not proven yet, nothing is served"),
        (True, 4, "Serving at level 5 of 20"),
    ],
)
def test_the_mode_under_a_promise(
    store: Store, released: bool, level: int | None, mode: str
) -> None:
    if released:
        promote(store)
    (standing,) = view(store, reading=read(level, 0.96))["standings"]
    serving = mode.startswith("Serving")
    assert (standing["mode"], standing["serving"]) == (mode, serving)
    # Where nothing is served nothing is claimed, whatever the certificate would allow.
    assert standing["promise"]["lower_bound"] == (0.96 if serving else None)
    assert standing["promise"]["trials"] == 77


@pytest.mark.parametrize(
    "policy, mode",
    [
        ({"policy": "teacher"}, "Observing: the policy is teacher"),
        ({"policy": "student"}, "Serving every draft, without a promise"),
        ({"policy": "threshold", "threshold": 0.8}, "Serving drafts from confidence 0.80 on"),
    ],
)
def test_other_policies_promise_nothing(store: Store, policy: dict[str, Any], mode: str) -> None:
    promote(store)
    settings = make_settings(workloads=(WorkloadSettings(name="shop", **policy),))
    (standing,) = view(store, settings=settings)["standings"]
    assert standing["mode"].startswith(mode)
    assert standing["promise"] is None


def test_a_workload_that_is_not_configured_is_observed(store: Store) -> None:
    store.append([make_record("a", workload="found")])
    (standing,) = view(store, "found")["standings"]
    assert (standing["workload"], standing["serving"]) == ("found", False)


@pytest.mark.parametrize("distillation", ["denied", "unknown"])
def test_a_teacher_that_may_not_be_learned_from_is_said_loudly(
    store: Store, distillation: str
) -> None:
    closed = TEACHER.model_copy(update={"distillation": distillation})
    made = view(store, settings=make_settings(models={"teacher": closed}))
    assert titles(made) == ["Nothing is learned"]
    assert distillation in made["notes"][0]["text"]


def test_an_aliased_model_is_a_teacher_too(store: Store) -> None:
    other = TEACHER.model_copy(update={"distillation": "denied", "aliases": ("b",)})
    made = view(store, settings=make_settings(models={"teacher": TEACHER, "other": other}))
    assert titles(made) == ["Nothing is learned from other"]


def test_keys_without_consent_are_said_loudly(store: Store) -> None:
    silent = KeySettings(name="a", key_env="A")
    willing = KeySettings(name="b", key_env="B", train_on=True)
    assert titles(view(store, settings=make_settings(keys=(silent,)))) == ["Nothing is learned"]
    assert titles(view(store, settings=make_settings(keys=(silent, willing)))) == []


def test_losses_and_missing_parts_are_said(store: Store) -> None:
    assert titles(view(store, dropped=1200)) == ["Records were dropped"]
    bare = Settings()
    assert titles(view(store, settings=bare)) == ["No teacher"]
    assert titles(view(store, settings=bare), "hint") == ["No workload is configured"]
    store.append([make_record("a", cost_usd=None, teacher_cost_usd=None)])
    assert titles(view(store)) == ["Cost is unknown"]

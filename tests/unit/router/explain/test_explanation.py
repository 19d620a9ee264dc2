from __future__ import annotations

import json
from typing import Any

import pytest

from router.explain.explanation import Branch, Facts, Level, explain
from router.explain.text import write_text

DRAFT = {"tier": "student", "commit": False, "reason": "draft", "propensity": 1.0}
LEVELS = [
    Level(number=1, predicted_risk=0.005, threshold=None),
    Level(number=2, predicted_risk=0.01, threshold=0.9),
    Level(number=3, predicted_risk=0.02, threshold=0.7),
]


def facts(tier: str, reason: str, **more: Any) -> Facts:
    given: dict[str, Any] = {
        "subject": "request",
        "workload": "shop",
        "policy": "promise",
        "tier": tier,
        "model": tier,
        "reason": reason,
        "steps": [DRAFT, {"tier": tier, "commit": True, "reason": reason, "propensity": 1.0}],
    }
    return Facts(**given | more)


def dropped(told: Facts) -> dict[str, str]:
    return {one.option: one.why for one in explain(told).dropped}


def test_a_draft_below_the_threshold() -> None:
    outlook = {"sentence": "Level 2 of 3 is in force; the next follows after about 90 checks."}
    told = explain(
        facts(
            *("teacher", "below_threshold"),
            confidence=0.8,
            threshold=0.9,
            level=3,
            level_in_force=2,
            levels=LEVELS,
            standing={"outlook": outlook},
        )
    )
    assert told.why.startswith("The draft's confidence 0.8000 is below the threshold 0.9000")
    assert [step.reason for step in told.steps] == ["draft", "below_threshold"]
    assert told.otherwise == (
        "The draft would be fit to be served from a confidence of 0.9000 on.",
        "Or with level 3 of 3 in force; it is level 2. Level 2 of 3 is in force; the next follows"
        " after about 90 checks.",
    )


def test_a_draft_that_no_level_would_serve() -> None:
    told = facts(
        *("teacher", "below_threshold"),
        confidence=0.1,
        threshold=0.9,
        level=4,
        level_in_force=2,
        levels=LEVELS,
    )
    assert explain(told).otherwise[-1] == "No risk level's threshold is low enough for it."


def test_why_there_is_no_draft_is_part_of_what_is_dropped() -> None:
    told = facts("teacher", "not_cascadable", skipped="it asks for two choices", steps=[])
    assert dropped(told) == {"student": "it asks for two choices"}


@pytest.mark.parametrize(
    ("floor", "said"), [(0.05, "only by the coin, 5 % of them"), (1.0, "its share is 0")]
)
def test_an_audit_that_is_not_made(floor: float, said: str) -> None:
    told = facts("student", "above_threshold", confidence=0.9, threshold=0.8, floor=floor)
    assert dropped(told)["audit"].startswith(said)


def test_an_audit_that_is_made_is_not_dropped() -> None:
    check = {**DRAFT, "tier": "teacher", "reason": "audit", "background": True, "propensity": 0.05}
    told = facts("student", "policy_student", steps=[DRAFT, check], floor=0.05)
    assert "audit" not in dropped(told)
    assert explain(told).steps[-1].propensity == 0.05


def test_a_certified_draft_whose_coin_has_not_fallen() -> None:
    branches = [
        Branch(probability=0.9, tier="student", reason="certified"),
        Branch(probability=0.1, tier="teacher", reason="proof"),
    ]
    told = facts("student", "certified", confidence=0.95, threshold=0.9, level=2, branches=branches)
    assert explain(told).otherwise[-1].startswith("The coin asks the teacher about 10 %")
    assert "10 %: teacher, proof." in write_text(explain(told))


def test_what_nobody_measured_is_unknown() -> None:
    assert "(unknown)" in explain(facts("teacher", "below_threshold")).why


def test_it_is_json_and_text() -> None:
    told = explain(facts("teacher", "below_threshold", levels=LEVELS, confidence=0.5))
    read = json.loads(json.dumps(told.to_json(), allow_nan=False))
    assert (read["reason"], read["confidence"]) == ("below_threshold", 0.5)
    assert read["levels"][0] == {"number": 1, "predicted_risk": 0.005, "threshold": None}
    assert read["steps"][0]["sentence"].startswith("The student drafts")
    text = write_text(told)
    assert "by level: 1: none, 2: 0.9000, 3: 0.7000" in text
    assert "{" not in text


def test_slices_are_told_with_their_standings() -> None:
    standing = {
        "kind": "certificate",
        "agreement": 0.95,
        "confidence": 0.975,
        "over": "all",
        "proven_agreement": None,
        "progress": 0.5,
        "interactions": 30,
        "log_wealth_of_next_level": 1.5,
        "log_wealth_needed": 3.69,
        "outlook": {"sentence": "Not yet: about 40 more checks."},
    }
    whole = {**standing, "slices": [{**standing, "slice": "refunds"}]}
    told = facts("teacher", "slice_unproven", standing=whole, slices=("refunds",))
    text = write_text(explain(told))
    assert "it belongs to a slice that keeps the promise by itself" in text
    assert "Slices\n  it belongs to: refunds\n  refunds:\n    95 % of all answers" in text
    assert explain(told).to_json()["slices"] == ("refunds",)
    assert "Slices" not in write_text(explain(facts("teacher", "observe", standing=standing)))

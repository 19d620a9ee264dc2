"""What is in force where the admin API's policies lie over the file."""

from __future__ import annotations

from typing import Any

import pytest

from router.overlay import Unfit, change_workload, lay_over, read_in_force
from router.record.model import PolicyVersion
from router.record.store import Store
from router.settings.model import Settings


def make_settings(**workload: Any) -> Settings:
    """With catalogue prices and durations, which must survive being examined again."""
    document = {
        "models": {
            "teacher": {
                "upstream": "https://api.openai.com/v1",
                "model": "gpt-4.1",
                "api_key_env": "TEACHER_KEY",
            }
        },
        "learning": {"every": "6h"},
        "workloads": [
            {"name": "shop", "policy": "threshold", "threshold": 0.9, "recall": True, **workload},
            {"name": "bank"},
        ],
    }
    settings = Settings.model_validate(document).with_known_prices()
    return settings.with_secrets({"TEACHER_KEY": "sk-teacher"})


def version(workload: str, change: dict[str, Any] | None, number: int = 1) -> PolicyVersion:
    return PolicyVersion(
        workload=workload, version=number, change=change, author="ada", reason="test", at=1.0
    )


def test_a_change_and_its_way_back_leave_everything_else_as_it_was() -> None:
    filed = make_settings()
    changed = change_workload(filed, "shop", {"threshold": 0.5})
    assert changed.workloads[0].threshold == 0.5
    assert changed.digest != filed.digest
    back = change_workload(changed, "shop", {"threshold": 0.9})
    assert (back, back.digest) == (filed, filed.digest)
    assert back.secret("TEACHER_KEY") == "sk-teacher"


def test_commands_that_have_no_secrets_know_the_policy_in_force() -> None:
    """Else they would take a promise of other terms for the gateway's, and begin it afresh."""
    store = Store.open(":memory:")
    store.add_policy("shop", {"threshold": 0.5}, author="ada", reason="test")
    filed = make_settings().with_secrets({})
    settings = read_in_force(filed, store)
    store.close()
    assert settings.workloads[0].threshold == 0.5
    assert settings.secret("TEACHER_KEY") is None


def test_none_takes_a_setting_away() -> None:
    promised = change_workload(
        make_settings(), "shop", {"policy": None, "promise": {"agreement": 0.9}, "threshold": None}
    )
    assert promised.workloads[0].effective_policy == "promise"
    assert promised.workloads[0].threshold is None


def test_a_policy_that_does_not_fit_the_file_stays_out_of_force_and_the_others_in() -> None:
    filed = make_settings(threshold=None, policy="teacher")
    versions = {
        "shop": version("shop", {"policy": "threshold"}, 3),
        "bank": version("bank", {"policy": "student"}),
        "gone": version("gone", {"policy": "student"}),
        "past": version("past", None, 2),
    }
    overlay = lay_over(filed, versions)
    policies = [one.effective_policy for one in overlay.settings.workloads]
    assert policies == ["teacher", "student"]
    assert overlay.problems.keys() == {"shop", "gone"}
    assert overlay.problems["shop"] == (
        "Version 3 of the policy of workload 'shop' is not in force, the file's is: policy"
        " threshold needs a threshold, such as threshold: 0.8."
    )
    assert "not in the configuration file" in overlay.problems["gone"]


def test_nothing_laid_over_is_the_file_itself() -> None:
    filed = make_settings()
    assert lay_over(filed, {"shop": version("shop", None)}).settings is filed


def test_what_several_workers_cannot_keep_is_refused() -> None:
    change = {"policy": "budget", "budget": {"usd_per_day": 3}}
    change_workload(make_settings(), "shop", change)
    with pytest.raises(Unfit, match="With 2 workers"):
        change_workload(make_settings(), "shop", change, workers=2)

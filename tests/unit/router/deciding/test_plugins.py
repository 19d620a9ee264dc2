"""Policies of installed distributions: real entry points on a path of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.commands import check_config
from router.deciding.plugins import load_policies
from router.errors import ConfigError
from router.settings.check import check_settings
from router.settings.model import Settings, WorkloadSettings

GOOD = """
from policies.base import audit, draft_or_teacher
from policies.types import Ask, Tier


class Short:
    name = "short"

    def __init__(self, context, coin):
        self._most = context.options.get("most_chars", 20)
        if not isinstance(self._most, int):
            raise ValueError("most_chars must be a whole number.")
        self._context, self._coin = context, coin

    def flow(self, features):
        if features.last_user_chars > self._most:
            yield Ask(tier=Tier.TEACHER, commit=True, reason="long")
            return
        if (yield from draft_or_teacher(features)) is None:
            return
        yield Ask(tier=Tier.STUDENT, commit=True, reason="short")
        yield from audit(self._coin, self._context.audit_share)


class Blind(Short):
    name = "blind"

    def flow(self, features):
        yield Ask(tier=Tier.STUDENT, commit=True, reason="blind")
"""
ENTRIES = """[tutelage.policies]
short = house_rules:Short
blind = house_rules:Blind
gone = house_rules:Gone
five = house_rules:__doc__
"""
MODELS = "models:\n  teacher: {upstream: 'http://h/v1', model: m}\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house_rules.py").write_text(f'"""Rules."""\n{GOOD}')
    info = tmp_path / "house_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))


def settings(policy: str, **options: object) -> Settings:
    workload = WorkloadSettings(name="shop", policy=policy, options=options)
    return Settings(workloads=(workload,))


@pytest.mark.usefixtures("installed")
def test_a_plugin_that_keeps_the_contract_is_loaded() -> None:
    assert list(load_policies(settings("short", most_chars=5))) == ["short"]
    assert load_policies(settings("threshold")) == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("policy", "options", "message"),
    [
        ("blind", {}, "breaks the contract of policies: what isn't cascadable must go"),
        ("gone", {}, "can't be loaded: AttributeError"),
        ("five", {}, "is not a function"),
        ("six", {}, "neither built in nor offered"),
        ("short", {"most_chars": "many"}, "most_chars must be a whole number."),
    ],
)
def test_one_that_can_not_serve_is_refused_in_a_sentence(
    policy: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_policies(settings(policy, **options))
    assert message in str(refused.value)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("installed")
def test_check_config_holds_plugins_to_the_contract(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(MODELS + "workloads:\n  - {name: a, policy: short}\n")
    assert check_config.run(str(path), as_json=False) == 0
    path.write_text(MODELS + "workloads:\n  - {name: a, policy: blind}\n")
    assert check_config.run(str(path), as_json=False) == 1
    assert f"{path}:4: error: workloads[0].policy The policy plug-in 'blind'" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("workload", "key", "message"),
    [
        ("policy: six", "workloads[0].policy", "six is no policy and no installed plug-in"),
        ("policy: teacher, options: {a: 1}", "workloads[0].options", "only for the policy of a"),
        ("options: {a: 1}", "workloads[0].options", "only for the policy of a"),
    ],
)
def test_unknown_policies_and_useless_options_are_errors(
    workload: str, key: str, message: str
) -> None:
    text = f"{MODELS}workloads: [{{name: a, {workload}}}]\n"
    found = [p for p in check_settings(text, {}) if p.severity == "error"]
    assert [(p.key, message in p.message) for p in found] == [(key, True)]

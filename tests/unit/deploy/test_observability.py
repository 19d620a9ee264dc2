"""Dashboard and rules ask only for metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from router.meter.metrics import Metrics
from router.settings.check import check_settings

DEPLOY = Path(__file__).parents[3] / "deploy"
_NAME = re.compile(r"\b(?:tutelage|gen_ai)[a-z0-9_:]*")
_OWN = {"up"}


def exposed() -> set[str]:
    """Every sample's name that the gateway can expose, also of what hasn't happened yet."""
    names: set[str] = set()
    for family in text_string_to_metric_families(Metrics().render()[0].decode()):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        names |= {f"{family.name}{end}" for end in ends.get(family.type, ("",))}
    return names


def rules() -> Iterator[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    for group in document["groups"]:
        yield from group["rules"]


def unknown_in(expression: str, known: set[str]) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}", "", expression)
    without_labels = re.sub(r"\b(?:by|on) \([^)]*\)", "", without_labels)
    return set(_NAME.findall(without_labels)) - known


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def test_the_rules_read_only_metrics_that_exist() -> None:
    known = exposed() | recorded() | _OWN
    for rule in rules():
        assert unknown_in(rule["expr"], known) == set(), rule


def test_the_dashboard_reads_only_metrics_that_exist() -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    known = exposed() | recorded()
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    for query in queries:
        assert unknown_in(query, known) == set(), query
    assert unknown_in("rate(tutelage_imagined_total[5m])", known) == {"tutelage_imagined_total"}


def test_every_alert_has_its_section_in_the_runbook() -> None:
    runbook = (DEPLOY.parent / "docs" / "runbook.md").read_text()
    titles = {
        line[3:].lower().replace(" ", "-") for line in runbook.splitlines() if line[:3] == "## "
    }
    linked = {
        rule["annotations"]["runbook"].partition("#")[2] for rule in rules() if "alert" in rule
    }
    assert linked == titles


def pins(name: str) -> dict[str, str]:
    """What a lock pins, by distribution."""
    text = (DEPLOY.parent / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?==([^ ;\\]+)", text, re.MULTILINE))


def test_a_server_gets_what_was_tested_and_nothing_of_development() -> None:
    whole, served = pins("requirements.lock"), pins("requirements-serve.lock")
    assert len(served) > 40
    assert served.items() <= whole.items()
    assert not served.keys() & {"pytest", "mypy", "ruff", "playwright", "torch"}


def test_what_is_deployed_is_a_valid_configuration() -> None:
    text = (DEPLOY / "tutelage.yaml").read_text()
    found = check_settings(text, {"TEACHER_KEY": "a", "SHOP_KEY": "b"})
    assert [problem for problem in found if problem.severity == "error"] == []
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {"gateway", "learner", "prometheus", "grafana"}

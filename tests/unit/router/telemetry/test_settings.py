"""Telemetry in a configuration: each mistake is one sentence at its line."""

from __future__ import annotations

import pytest

from router.errors import ConfigError
from router.settings.check import check_settings
from router.settings.model import Settings
from router.telemetry.tracer import build_tracer, require_exporter

PRICE = "{input: 1, output: 1}"
MODELS = f"models:\n  teacher: {{upstream: 'http://127.0.0.1:1/v1', model: m, price: {PRICE}}}\n"


def errors(telemetry: str) -> list[str]:
    found = check_settings(f"{MODELS}telemetry: {telemetry}\n", {})
    return [f"{one.line}: {one.message}" for one in found if one.severity == "error"]


def test_what_is_right_is_taken() -> None:
    assert errors("{otlp_endpoint: 'http://127.0.0.1:4318', sample: 0.1, content: true}") == []


@pytest.mark.parametrize(
    ("telemetry", "message"),
    [
        ("{}", "is missing"),
        ("{otlp_endpoint: 'localhost:4318'}", "must be a URL such as http://127.0.0.1:4318"),
        ("{otlp_endpoint: 'http://a/v1/traces'}", "must end before /v1/traces, which is added"),
        ("{otlp_endpoint: 'http://u:p@a'}", "secrets belong into the variable of headers_env"),
        ("{otlp_endpoint: 'http://a', sample: 2}", "must be at most 1"),
        ("{otlp_endpoint: 'http://a', headers_env: NOWHERE}", "NOWHERE, which is not set"),
    ],
    ids=["none", "no-scheme", "whole-path", "password", "share", "unset"],
)
def test_a_mistake_is_one_sentence_at_its_line(telemetry: str, message: str) -> None:
    (found,) = errors(telemetry)
    assert found.startswith("3: ")
    assert message in found


def test_without_its_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Settings.model_validate({"telemetry": {"otlp_endpoint": "http://a"}})
    monkeypatch.setattr("router.telemetry.tracer.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tutelage\[otel\]"):
        require_exporter(wanted)
    require_exporter(Settings())
    assert build_tracer(Settings()) is None

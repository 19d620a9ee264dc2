"""A good file becomes settings; a bad one becomes one sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from policies.compare.registry import COMPARERS
from router.errors import ConfigError
from router.settings import ResolvedModel, Settings, check_settings, load_settings
from router.settings.load import find_config

SECRETS = {"TEACHER_KEY": "sk-teacher-secret", "SHOP_KEY": "sk-shop-secret"}

CONTRACT = """\
server: {host: 127.0.0.1, port: 8080}
store: {url: "sqlite:///tutelage.db"}            # postgresql://…
coordination: {url: "memory://"}                 # redis://…
models:
  teacher:
    upstream: https://api.example.com/v1         # any OpenAI-compatible server
    model: big-70b
    api_key_env: TEACHER_KEY
    aliases: [big-70b]
    dialect: openai                              # openai | anthropic
    price: {input: 2.50, cached_input: 1.25, output: 10.00}
    timeout_s: {connect: 2, first_byte: 30, total: 120}
    retries: 2
    fallbacks: [teacher-b]
    distillation: allowed
  teacher-b: {upstream: "http://127.0.0.1:8000/v1/", model: b, price: {input: 1, output: 2}}
  student: {kind: embedded}
workloads:
  - name: support-intent
    match: {system_prompt: "You sort customer messages*"}
    compare: label
    policy: promise
    promise: {agreement: 0.97, confidence: 0.95, over: all}
    budget: {usd_per_interaction: 0.005}
    threshold: 0.80
    audit: {max_share: 0.05}
learning: {every: 6h, min_new_answers: 500, on_drift: true, max_usd_per_cycle: 20}
data: {retention_days: 90, redact: [email, phone, card, iban, secret]}
keys:
  - {name: shop, tenant: shop, key_env: SHOP_KEY, budget: {usd: 20, per: day},
     rate: {requests_per_minute: 600}, train_on: true}
"""

SMALL = "models:\n  teacher: {upstream: 'http://127.0.0.1:1/v1', model: m}\n"


def load(tmp_path: Path, text: str, env: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "tutelage.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, SECRETS if env is None else env)


def test_the_documented_example_loads_as_written(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTRACT)
    teacher = settings.models["teacher"]
    assert teacher.price is not None
    assert (teacher.price.input, teacher.price.cached_input, teacher.price.output) == (
        Decimal("2.5"),
        Decimal("1.25"),
        Decimal(10),
    )
    assert teacher.fallbacks == ("teacher-b",)
    assert settings.models["teacher-b"].upstream == "http://127.0.0.1:8000/v1"
    assert settings.models["student"].kind == "embedded"
    assert settings.learning.every == 6 * 3600
    assert settings.workloads[0].effective_policy == "promise"
    assert settings.workloads[0].match.system_prompt == "You sort customer messages*"
    assert settings.keys[0].train_on


def test_the_example_warns_of_the_budget_that_gives_way_alone() -> None:
    problems = check_settings(CONTRACT, SECRETS)
    assert [(p.severity, p.key) for p in problems] == [("warning", "workloads[0].budget")]


def test_without_a_file_the_defaults_hold() -> None:
    settings = load_settings(None, {"A": "b"})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.server.max_body_bytes == 20 * 1024 * 1024
    assert settings.store.url == "sqlite:///tutelage.db"
    assert (settings.learning.every, settings.learning.min_new_answers) == (0.0, None)
    assert (settings.data.retention_days, settings.data.redact) == (90, ())
    assert settings.teacher_key is None
    assert settings.teacher is None
    assert settings.resolve_model("auto") is None
    assert settings.secret("A") == "b"


def test_defaults_of_a_model_a_workload_and_a_key(tmp_path: Path) -> None:
    text = SMALL.replace("model: m", "model: m, price: {input: 0.1, output: 0.3}")
    text += "workloads: [{name: a}, {name: b, promise: {agreement: 0.9}}]\n"
    text += "keys: [{name: shop, key_env: SHOP_KEY}]\n"
    settings = load(tmp_path, text)
    model = settings.models["teacher"]
    assert model.price is not None
    assert model.price.cached_input == Decimal("0.1")
    assert (model.retries, model.distillation, model.dialect) == (2, "unknown", "openai")
    timeout = model.timeout_s
    assert (timeout.connect, timeout.first_byte, timeout.total) == (2, 30, 120)
    observed, promised = settings.workloads
    assert (observed.effective_policy, promised.effective_policy) == ("teacher", "promise")
    assert promised.promise is not None
    assert (promised.promise.confidence, promised.promise.over) == (0.95, "all")
    assert (observed.audit.max_share, observed.audit.proof_share) == (0.05, None)
    assert (settings.keys[0].tenant, settings.keys[0].train_on) == ("shop", False)


@pytest.mark.parametrize(
    ("written", "seconds"), [("6h", 21_600), ("1h30m", 5_400), ("90", 90), ("'0.5d'", 43_200)]
)
def test_durations_are_seconds(tmp_path: Path, written: str, seconds: float) -> None:
    assert load(tmp_path, f"learning: {{every: {written}}}").learning.every == seconds


def test_substitution_fills_text_and_numbers_but_not_structure(tmp_path: Path) -> None:
    env = {"HOST": "api.example.com", "PORT": "9000", "MODEL": "a, b: [c]"}
    text = (
        "# ${NOT_SET} in a comment is nobody's business\n"
        'server: {port: "${PORT}"}\n'
        "models:\n  teacher:\n    upstream: https://${HOST}/v1\n    model: ${MODEL}\n"
    )
    settings = load(tmp_path, text, env)
    assert settings.server.port == 9000
    assert settings.models["teacher"].upstream == "https://api.example.com/v1"
    assert settings.models["teacher"].model == "a, b: [c]"


def test_empty_sections_count_as_absent_and_anchors_merge(tmp_path: Path) -> None:
    text = (
        "keys:\nworkloads:\nmodels:\n"
        "  teacher: &base {upstream: 'http://h/v1', model: m, retries: 5}\n"
        "  other: {<<: *base, model: n}\n"
    )
    settings = load(tmp_path, text)
    other = settings.models["other"]
    assert (other.upstream, other.model, other.retries) == ("http://h/v1", "n", 5)
    assert settings.keys == ()
    assert load(tmp_path, "") == load_settings(None, SECRETS)


def test_names_of_models_resolve(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTRACT)
    assert settings.teacher_key == "teacher"
    assert settings.teacher is settings.models["teacher"]
    assert settings.resolve_model("auto") == ResolvedModel(kind="auto", key="teacher")
    assert settings.resolve_model("big-70b") == ResolvedModel(kind="alias", key="teacher")
    assert settings.resolve_model("teacher-b") == ResolvedModel(kind="pin", key="teacher-b")
    assert settings.resolve_model("student") == ResolvedModel(kind="pin", key="student")
    assert settings.resolve_model("gpt-unknown") is None


def test_the_only_upstream_is_the_teacher_whatever_its_name(tmp_path: Path) -> None:
    text = SMALL.replace("teacher:", "big:") + "  student: {kind: embedded}\n"
    assert load(tmp_path, text).teacher_key == "big"
    text += "  bigger: {upstream: 'http://h/v1', model: m}\n"
    assert load(tmp_path, text).teacher_key is None


def test_secrets_are_found_but_not_shown(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTRACT)
    assert settings.secret("TEACHER_KEY") == "sk-teacher-secret"
    assert settings.secret("NOBODY") is None
    shown = f"{settings!r} {settings} {settings.model_dump()}"
    assert "secret" not in shown.replace("'secret'", "")


def test_what_never_calls_the_teacher_needs_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "tutelage.yaml"
    path.write_text(CONTRACT, encoding="utf-8")
    with pytest.raises(ConfigError, match="TEACHER_KEY, which is not set"):
        load_settings(path, {"SHOP_KEY": ""})
    settings = load_settings(path, {"SHOP_KEY": ""}, need_secrets=False)
    assert settings.digest == load_settings(path, SECRETS).digest
    assert settings.secret("TEACHER_KEY") is None
    assert load_settings(path, SECRETS, need_secrets=False).secret("SHOP_KEY") == "sk-shop-secret"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("models: {t: {upstream: '${KEY}', model: m, api_key_env: OTHER}}", "needs KEY in the env"),
        (
            "models:\n  t: {upstream: '${KEY}',\n    model: m, api_key_env: KEY}",
            "needs KEY in the env",
        ),
        ("models: {t: {upstream: 'http://h/v1', api_key_env: KEY}}", "model is missing"),
    ],
)
def test_unset_secrets_hide_nothing_else(tmp_path: Path, wrong: str, said: str) -> None:
    path = tmp_path / "tutelage.yaml"
    path.write_text(wrong, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_settings(path, {}, need_secrets=False)


def test_the_folders_own_configuration_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(None) is None
    (tmp_path / "tutelage.yaml").touch()
    assert find_config(None) == Path("tutelage.yaml")
    assert find_config(Path("other.yaml")) == Path("other.yaml")


def test_secrets_stay_as_they_were_at_load(tmp_path: Path) -> None:
    env = dict(SECRETS)
    settings = load(tmp_path, CONTRACT, env)
    env["TEACHER_KEY"] = "rotated"
    assert settings.secret("TEACHER_KEY") == "sk-teacher-secret"


def test_the_digest_follows_settings_and_not_secrets_or_layout(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTRACT)
    rotated = load(tmp_path, "\n# moved\n" + CONTRACT, {**SECRETS, "SHOP_KEY": "another"})
    changed = load(tmp_path, CONTRACT.replace("0.97", "0.96"))
    assert len(settings.digest) == 64
    assert rotated.digest == settings.digest
    assert changed.digest != settings.digest


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTRACT)
    with pytest.raises(ValidationError):
        settings.server.port = 1


def test_every_comparer_can_be_configured(tmp_path: Path) -> None:
    for i, name in enumerate(COMPARERS):
        text = f"workloads: [{{name: w{i}, compare: {name}}}]"
        assert load(tmp_path, text).workloads[0].compare == name


def test_a_bad_file_is_one_sentence_with_file_line_and_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SMALL + "    retires: 1\n  b: {model: m}\nserver: {port: x}\n")
    sentence = str(caught.value)
    assert sentence.startswith(f"{tmp_path / 'tutelage.yaml'}, line ")
    assert "\n" not in sentence
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "models:\n  teacher:\n    model: m\nserver: {port: x}\n")
    assert ", line 2: models.teacher.upstream is missing: " in str(caught.value)
    assert str(caught.value).endswith(
        f" (1 more: tutelage check-config {tmp_path / 'tutelage.yaml'})."
    )
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "does not exist"), (b"\xff\xfe\xff", "UTF-8")]
)
def test_a_file_that_cant_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "t.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        load_settings(path, {})
    with pytest.raises(ConfigError, match="is a folder"):
        load_settings(tmp_path, {})

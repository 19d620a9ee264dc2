"""Each mistake is found, at its line, with all others, and without repeating secrets."""

from __future__ import annotations

import pytest

from router.settings import Problem, check_settings

TEACHER = (
    "models:\n"
    "  teacher:\n"
    "    upstream: https://api.example.com/v1\n"
    "    model: big\n"
    "    distillation: allowed\n"
    "    price: {input: 1, output: 2}\n"
)
"""Six lines without a problem: what a test appends starts on line 7."""


def errors(text: str, env: dict[str, str] | None = None) -> list[Problem]:
    return [p for p in check_settings(text, env or {}) if p.severity == "error"]


def only_error(text: str, env: dict[str, str] | None = None) -> Problem:
    found = errors(text, env)
    assert len(found) == 1, found
    return found[0]


def test_the_base_of_these_tests_has_no_problem() -> None:
    assert check_settings(TEACHER, {}) == []


@pytest.mark.parametrize(
    ("added", "line", "key", "message"),
    [
        ("    retires: 3\n", 7, "models.teacher.retires", "did you mean retries?"),
        ("    api_key: x\n", 7, "models.teacher.api_key", "did you mean api_key_env?"),
        ("    base_url: x\n", 7, "models.teacher.base_url", "did you mean upstream?"),
        ("worklods: []\n", 7, "worklods", "did you mean workloads?"),
        ("    timeout_s: {conect: 1}\n", 7, "models.teacher.timeout_s.conect", "mean connect?"),
        ("    timeout_s: {connect: 0}\n", 7, "models.teacher.timeout_s.connect", "more than 0"),
        ("    retries: many\n", 7, "models.teacher.retries", "a whole number"),
        ("    retries: true\n", 7, "models.teacher.retries", "not true or false"),
        ("    retries: -1\n", 7, "models.teacher.retries", "at least 0"),
        ("    aliases: big\n", 7, "models.teacher.aliases", "must be a list"),
        ("    aliases: [3]\n", 7, "models.teacher.aliases[0]", "in quotes"),
        ("    distillation: maybe\n", 7, "models.teacher.distillation", "given twice"),
        ("server: {port: 70000}\n", 7, "server.port", "at most 65,535"),
        ("server: [1]\n", 7, "server", "must be a mapping"),
        ("learning: {every: soon}\n", 7, "learning.every", "a duration such as 6h"),
        ("learning: {every: -5}\n", 7, "learning.every", "at least 0"),
        ("learning: {ladder: {shadow: -1}}\n", 7, "learning.ladder.shadow", "at least 0"),
        (
            "learning: {ladder: {canary: {shares: [0.5, 0.1]}}}\n",
            7,
            "learning.ladder.canary",
            "must have shares that grow",
        ),
        ("data: {redact: [mail]}\n", 7, "data.redact[0]", "must be email, phone"),
        ("data: {retention_days: 0}\n", 7, "data.retention_days", "at least 1"),
        ("workloads: [{match: x}]\n", 7, "workloads[0].name", "is missing"),
        ("workloads: [{name: a/b}]\n", 7, "workloads[0].name", "without /"),
        ("workloads: [{name: a, compare: vibes}]\n", 7, "workloads[0].compare", "must be label"),
        ("workloads:\n - name: a\n   threshold: 1.1\n", 9, "workloads[0].threshold", "at most 1"),
    ],
)
def test_keys_and_types(added: str, line: int, key: str, message: str) -> None:
    found = only_error(TEACHER + added)
    assert (found.line, found.key) == (line, key)
    assert message in found.message


@pytest.mark.parametrize("agreement", ["0.5", "1", "1.0", "97", "-1", ".nan"])
def test_a_promise_lies_between_one_half_and_one(agreement: str) -> None:
    text = TEACHER + f"workloads: [{{name: a, promise: {{agreement: {agreement}}}}}]\n"
    assert only_error(text).key == "workloads[0].promise.agreement"


@pytest.mark.parametrize(
    "url",
    ["api.example.com/v1", "ftp://h/v1", "http://", "http://h:99999/v1", "http://h/v1?a=b", "7"],
)
def test_upstreams_must_be_urls(url: str) -> None:
    found = only_error(TEACHER.replace("https://api.example.com/v1", f'"{url}"'))
    assert (found.line, found.key) == (3, "models.teacher.upstream")


@pytest.mark.parametrize("rate", ["-0.01", ".inf", ".nan", "free", "true"])
@pytest.mark.parametrize("name", ["input", "cached_input", "output", "usd_per_request"])
def test_prices_are_amounts_of_money(name: str, rate: str) -> None:
    text = TEACHER.replace("{input: 1, output: 2}", f"{{{name}: {rate}}}")
    found = only_error(text)
    assert (found.line, found.key) == (6, f"models.teacher.price.{name}")


@pytest.mark.parametrize(
    ("added", "key"),
    [
        (
            "  b: {upstream: 'http://h', model: m, price: {usd_per_hour: 2}}\n",
            "models.b.price.usd_per_hour",
        ),
        ("store: {url: 'mysql://h/db'}\n", "store.url"),
        ("coordination: {url: 'etcd://h'}\n", "coordination.url"),
    ],
)
def test_what_this_version_cant_do_is_refused_in_plain_words(added: str, key: str) -> None:
    found = only_error(TEACHER + added)
    assert (found.line, found.key) == (7, key)
    assert "not supported" in found.message
    assert "in this version" in found.message


@pytest.mark.parametrize(
    ("added", "line", "key", "message"),
    [
        (
            "workloads: [{name: a, promise: {agreement: 0.9, guarantee: true, over: served}}]\n",
            7,
            "workloads[0].promise.over",
            "served has no guarantee",
        ),
        (
            "workloads: [{name: a, promise: {agreement: 0.9, guarantee: 'Yes', over: served}}]\n",
            7,
            "workloads[0].promise.over",
            "served has no guarantee",
        ),
        ("    aliases: [auto]\n", 7, "models.teacher.aliases[0]", "auto"),
        ("    aliases: [a, a]\n", 7, "models.teacher.aliases[1]", "already an alias of the same"),
        ("    aliases: [teacher]\n", 7, "models.teacher.aliases[0]", "also a model's key"),
        ("    aliases: [student]\n", 7, "models.teacher.aliases[0]", "also a model's key"),
        (
            "    aliases: [x]\n  b: {upstream: 'http://h', model: m, aliases: [x]}\n",
            8,
            "models.b.aliases[0]",
            "already an alias of teacher",
        ),
        ("  auto: {upstream: 'http://h', model: m}\n", 7, "models.auto", "policy decides"),
        ("    fallbacks: [ghost]\n", 7, "models.teacher.fallbacks[0]", "not the key of a model"),
        ("    fallbacks: [teacher]\n", 7, "models.teacher.fallbacks[0]", "itself"),
        ("    fallbacks: [student]\n", 7, "models.teacher.fallbacks[0]", "student"),
        ("  b: {kind: embedded}\n", 7, "models.b.kind", "only for the model called student"),
        ("  student: {kind: embedded, model: m}\n", 7, "models.student.model", "no meaning"),
        ("  student: {upstream: 'http://h'}\n", 7, "models.student.model", "is missing"),
        ("  student: {model: m}\n", 7, "models.student.upstream", "is missing"),
        (
            "  student: {model: m, replicas: ['http://h'], aliases: [x]}\n",
            7,
            "models.student.aliases",
            "no meaning",
        ),
        ("    replicas: ['http://h']\n", 7, "models.teacher.replicas", "only for a student"),
        ("  b: {upstream: 'http://h'}\n", 7, "models.b.model", "is missing"),
        ("  b: {model: m}\n", 7, "models.b.upstream", "is missing"),
        ("workloads: [{name: a}, {name: a}]\n", 7, "workloads[1].name", "already on line 7"),
        ("workloads: [{name: a, policy: promise}]\n", 7, "workloads[0].policy", "promise needs"),
        ("workloads: [{name: a, policy: threshold}]\n", 7, "workloads[0].policy", "such as"),
        ("server: {host: 0.0.0.0}\n", 7, "server.host", "needs keys"),
        ("server: {host: gateway.lan}\n", 7, "server.host", "needs keys"),
    ],
)
def test_parts_must_fit_each_other(added: str, line: int, key: str, message: str) -> None:
    found = only_error(TEACHER + added)
    assert (found.line, found.key) == (line, key)
    assert message in found.message


def test_a_circle_of_fallbacks_is_reported_once() -> None:
    text = TEACHER + (
        "    fallbacks: [b]\n"
        "  b: {upstream: 'http://h', model: m, fallbacks: [c]}\n"
        "  c: {upstream: 'http://h', model: m, fallbacks: [teacher]}\n"
        "  d: {upstream: 'http://h', model: m, fallbacks: [teacher]}\n"
    )
    found = only_error(text)
    assert found.key == "models.teacher.fallbacks"
    assert "teacher → b → c → teacher" in found.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "'::1'"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert errors(TEACHER + f"server: {{host: {host}}}\n") == []


def test_keys_open_the_gateway_to_other_machines() -> None:
    text = TEACHER + "server: {host: 0.0.0.0}\nkeys: [{name: a, key_env: A}]\n"
    assert errors(text, {"A": "s"}) == []


def test_missing_variables_and_secrets_are_named() -> None:
    text = TEACHER + "    api_key_env: BIG_KEY\nstore: {url: 'sqlite:///${DIR}/${DIR}/${B}.db'}\n"
    secret, place = errors(text, {"BIG_KEY": ""})
    assert (secret.line, secret.key) == (7, "models.teacher.api_key_env")
    assert "BIG_KEY" in secret.message
    assert (place.line, place.key) == (8, "store.url")
    assert "DIR and B " in place.message


def test_one_key_per_caller() -> None:
    text = TEACHER + "keys:\n  - {name: a, key_env: A}\n  - {name: a, key_env: B}\n"
    same = errors(text, {"A": "hush-hush", "B": "hush-hush"})
    assert [(p.line, p.key) for p in same] == [(9, "keys[1].key_env"), (9, "keys[1].name")]
    assert not any("hush" in p.sentence for p in same)
    assert only_error(text, {"A": "x", "B": "y"}).key == "keys[1].name"


def test_nothing_secret_is_repeated() -> None:
    """Neither what a variable holds nor a secret that stands where a variable's name belongs."""
    text = (
        "server: {port: '${S}', host: '${S}'}\n"
        "store: {url: '${S}'}\n"
        "models:\n"
        "  teacher: {upstream: '${S}', model: m, api_key_env: hushhush, aliases: ['${S}', '${S}'],"
        " fallbacks: ['${S}'], dialect: '${S}', price: {input: '${S}'}, retries: '${S}'}\n"
        "  b: {upstream: 'https://me:hushhush@h/v1', model: m, api_key_env: '${S}'}\n"
        "workloads: [{name: '${S}'}, {name: '${S}', policy: '${S}', compare: '${S}'}]\n"
        "learning: {every: '${S}'}\n"
        "keys: [{name: '${S}', key_env: '${S}'}, {name: '${S}', key_env: hushhush}]\n"
    )
    found = check_settings(text, {"S": "hushhush"})
    assert len(found) > 15
    assert not [p for p in found if "hushhush" in f"{p!r} {p.sentence}"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("models:\n  teacher: [\n", 3, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("server:\n\tport: 1\n", 2, "spaces, not tabs"),
        ("server: {port: ${PORT}}\n", 1, "put quotes around it"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("- a\n", 1, "must be a mapping"),
        ("just text\n", 1, "must be a mapping"),
        ("server: {}\n---\nserver: {}\n", 2, "one YAML document"),
        ("server:\n  host: a\x00b\n", 2, "character"),
        ("server: &a {host: *a}\n", 1, "refers to itself"),
        ("server: {port: !!python/object:os.system x}\n", 1, "can't read"),
        ("server: {[a]: b}\n", 1, "as a key"),
        ("server: {host: '${A-B}'}\n", 1, "variable's name"),
        ("[" * 5000, 1, "nested too deeply"),
    ],
)
def test_broken_yaml_is_a_problem_and_not_a_crash(text: str, line: int, message: str) -> None:
    found = only_error(text)
    assert found.line == line
    assert message in found.message


def test_nested_anchors_dont_fill_the_memory() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 9):
        rows.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    assert any("too many" in p.message for p in errors("\n".join(rows)))


def test_every_error_comes_at_once_in_the_order_of_the_file() -> None:
    text = (
        "server: {host: 0.0.0.0, port: x}\n"
        "models:\n"
        "  teacher: {model: m, api_key_env: NOPE, price: {input: -1}}\n"
        "  teacher: {}\n"
        "workloads:\n"
        "  - {name: a, policy: promise}\n"
        "  - {name: a, treshold: 1}\n"
        "store: {url: '${GONE}'}\n"
    )
    assert [(p.line, p.key) for p in errors(text)] == [
        (1, "server.host"),
        (1, "server.port"),
        (3, "models.teacher.api_key_env"),
        (3, "models.teacher.price.input"),
        (3, "models.teacher.upstream"),
        (4, "models.teacher"),
        (6, "workloads[0].policy"),
        (7, "workloads[1].name"),
        (7, "workloads[1].treshold"),
        (8, "store.url"),
    ]


def test_learning_nothing_is_said_loudly() -> None:
    text = (
        "models:\n  teacher: {upstream: 'http://h/v1', model: m}\n"
        "workloads: [{name: a}, {name: b}]\n"
        "keys: [{name: shop, key_env: SHOP_KEY}]\n"
    )
    found = check_settings(text, {"SHOP_KEY": "s"})
    assert {p.severity for p in found} == {"warning"}
    assert {p.key: p.line for p in found} == {
        "models.teacher.distillation": 2,
        "models.teacher.price": 2,
        "workloads[1]": 3,
        "keys[0]": 4,
    }
    assert "nothing is learned" in found[0].message


def test_a_fallback_that_never_teaches_needs_no_permission() -> None:
    text = TEACHER + "    fallbacks: [b]\n  b: {upstream: 'http://h/v1', model: m}\n"
    assert check_settings(text, {}) == []
    aliased = text.replace("model: m", "model: m, aliases: [old]")
    assert {p.key for p in check_settings(aliased, {})} == {
        "models.b.distillation",
        "models.b.price",
    }


def test_a_file_without_a_teacher_is_warned_of() -> None:
    found = check_settings("server: {port: 1}\n", {})
    assert [(p.key, p.severity) for p in found] == [("models", "warning")]


@pytest.mark.parametrize(
    ("price", "keys"),
    [
        ("{}", {"price"}),
        ("{input: 1}", {"price.output"}),
        ("{output: 1}", {"price.input"}),
        ("{cached_input: 1}", {"price.input", "price.output"}),
        ("{usd_per_request: 1, input: 1}", {"price.output"}),
        ("{usd_per_request: 0.01}", set()),
        ("{input: 0, output: 0}", set()),
    ],
)
def test_half_a_price_is_no_price(price: str, keys: set[str]) -> None:
    found = check_settings(TEACHER.replace("{input: 1, output: 2}", price), {})
    assert {p.key for p in found} == {f"models.teacher.{key}" for key in keys}
    assert all((p.line, p.severity) == (6, "warning") for p in found)


def test_a_student_behind_a_server_has_a_price_and_is_no_teacher() -> None:
    student = "  student: {upstream: 'http://h/v1', model: s}\n"
    found = check_settings(TEACHER + student, {})
    assert [(p.line, p.key, p.severity) for p in found] == [(7, "models.student.price", "warning")]
    alone = check_settings("models:\n" + student.replace("}", ", price: {usd_per_request: 0}}"), {})
    assert [p.key for p in alone] == ["models"]  # and nothing else can answer for auto


@pytest.mark.parametrize("share", ["0", "-0.1", "1.1", "true", ".nan"])
def test_a_promise_needs_some_random_asking(share: str) -> None:
    text = TEACHER + f"workloads: [{{name: a, audit: {{proof_share: {share}}}}}]\n"
    assert only_error(text).key == "workloads[0].audit.proof_share"


@pytest.mark.parametrize(
    ("added", "key"),
    [
        ("learning: {max_usd_per_cycle: -1}\n", "max_usd_per_cycle"),
        ("keys: [{name: a, key_env: A, budget: {usd: -1}}]\n", "usd"),
        ("keys: [{name: a, key_env: A, rate: {requests_per_minute: 0}}]\n", "requests_per_minute"),
    ],
)
def test_budgets_and_rates_are_checked(added: str, key: str) -> None:
    found = only_error(TEACHER + added, {"A": "s"})
    assert found.line == 7
    assert found.key.endswith(f".{key}")
    assert "must be at least" in found.message


@pytest.mark.parametrize(("lacking", "given"), [("name", "key_env: A"), ("key_env", "name: a")])
def test_a_caller_needs_a_name_and_a_key(lacking: str, given: str) -> None:
    found = only_error(TEACHER + f"keys: [{{{given}}}]\n", {"A": "s"})
    assert (found.line, found.key) == (7, f"keys[0].{lacking}")
    assert found.message == "is missing"


@pytest.mark.parametrize(
    ("upstream", "warned"), [("https://api.anthropic.com", True), ("https://h/v1/", False)]
)
def test_an_anthropic_address_without_its_path_is_warned_about(upstream: str, warned: bool) -> None:
    text = f"models: {{teacher: {{upstream: '{upstream}', model: m, dialect: anthropic}}}}"
    found = [p for p in check_settings(text, {}) if p.key == "models.teacher.upstream"]
    assert [p.severity for p in found] == ["warning"] * warned


@pytest.mark.parametrize(
    ("written", "warned"),
    [
        ("policy: teacher, recall: true", True),
        ("recall: {max_age: 1d}", True),
        ("recall: false", False),
        ("policy: student, recall: true", False),
        ("promise: {agreement: 0.9}, recall: {max_answers: 10}", False),
    ],
)
def test_recall_under_a_teacher_that_answers_everything_is_told(written: str, warned: bool) -> None:
    found = check_settings(TEACHER + f"workloads: [{{name: a, {written}}}]\n", {})
    assert [p.key for p in found] == ["workloads[0].recall"] * warned

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal

from prometheus_client.parser import text_string_to_metric_families

from router.meter.metrics import Metrics
from router.meter.prices import Usage

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    model: str = "big"
    latency_ms: float = 250.0
    usage: Usage | None = None
    basis: str = "answer"
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    workload: str = "support"
    tier: str = "teacher"
    reason: str = "observe"
    cost_usd: Decimal | None = Decimal("0.25")
    teacher_cost_usd: Decimal | None = Decimal("0.5")
    overhead_ms: float = 0.4
    attempts: tuple[Call, ...] = ()


def scrape(metrics: Metrics) -> dict[tuple[str, Labels], float]:
    page, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scrape(metrics).get((name, tuple(sorted(labels.items()))))


def test_another_promise_takes_the_place_of_the_one_before() -> None:
    """An alert on what was promised once would else fire until a restart."""
    metrics = Metrics()
    metrics.set_promise("shop", 0.97, 0.5, pooled=True)
    metrics.set_promise("shop", 0.9, 0.91, "accuracy")
    promised = {name for name, labels in scrape(metrics) if ("workload", "shop") in labels}
    assert promised == {"tutelage_accuracy_promise", "tutelage_accuracy_lower_bound"}
    metrics.set_promise("shop", 0.97, 0.98)
    assert read(metrics, "tutelage_promise", workload="shop") == 0.97
    assert read(metrics, "tutelage_accuracy_promise", workload="shop") is None
    assert read(metrics, "tutelage_promise_pooled", workload="shop") is None


def test_all_names_of_the_contract_with_their_labels() -> None:
    metrics = Metrics()
    used = Usage(prompt_tokens=100, completion_tokens=7)
    metrics.observe_interaction(Done(attempts=(Call(usage=used), Call(basis="unknown"))))
    metrics.set_promise("support", 0.97, 0.971)
    metrics.set_promise("sorting", 0.9, 0.91, "accuracy")
    metrics.add_drift_alarm("support", "novelty")
    metrics.set_release("support", student="embedded@1a2b", policy="promise")
    metrics.add_dropped(2)
    shape = {
        (name, tuple(label for label, _ in labels if label != "le"))
        for name, labels in scrape(metrics)
        if not name.endswith(("_bucket", "_count", "_created"))
    }
    assert shape == {
        ("tutelage_interactions_total", ("reason", "tier", "workload")),
        ("tutelage_cost_usd_total", ("tier", "workload")),
        ("tutelage_teacher_cost_usd_total", ("workload",)),
        ("tutelage_interaction_cost_usd_sum", ()),
        ("tutelage_agreement_lower_bound", ("workload",)),
        ("tutelage_promise", ("workload",)),
        ("tutelage_accuracy_lower_bound", ("workload",)),
        ("tutelage_accuracy_promise", ("workload",)),
        ("tutelage_drift_alarms_total", ("kind", "workload")),
        ("tutelage_escalation_ratio", ("workload",)),
        ("tutelage_release_info", ("policy", "student", "workload")),
        ("tutelage_gateway_overhead_seconds_sum", ()),
        ("tutelage_records_dropped_total", ()),
        ("tutelage_record_bodies_dropped_total", ()),
        ("tutelage_requests_refused_total", ()),
        ("tutelage_requests_running", ()),
        ("tutelage_requests_waiting", ()),
        ("tutelage_calls_total", ("model", "result")),
        ("tutelage_usage_missing_total", ("model",)),
        ("gen_ai_client_token_usage_sum", ("gen_ai_request_model", "gen_ai_token_type")),
        ("gen_ai_client_operation_duration_seconds_sum", ("gen_ai_request_model",)),
    }


def test_values() -> None:
    metrics = Metrics()
    used = Usage(prompt_tokens=100, completion_tokens=7)
    metrics.observe_interaction(Done(attempts=(Call(usage=used), Call())))
    metrics.observe_interaction(Done(tier="student", reason="certified", cost_usd=Decimal(0)))
    where = {"workload": "support", "tier": "teacher"}
    assert read(metrics, "tutelage_interactions_total", reason="observe", **where) == 1
    assert read(metrics, "tutelage_cost_usd_total", **where) == 0.25
    assert read(metrics, "tutelage_teacher_cost_usd_total", workload="support") == 1.0
    assert read(metrics, "tutelage_interaction_cost_usd_count") == 2
    assert read(metrics, "tutelage_gateway_overhead_seconds_sum") == 0.0008
    tokens = {"gen_ai_request_model": "big", "gen_ai_token_type": "input"}
    assert read(metrics, "gen_ai_client_token_usage_sum", **tokens) == 100
    duration = "gen_ai_client_operation_duration_seconds_sum"
    assert read(metrics, duration, gen_ai_request_model="big") == 0.5


def test_calls_that_failed_are_told_apart_and_the_queue_is_shown() -> None:
    metrics = Metrics()
    metrics.observe_interaction(Done(attempts=(Call(error="HTTP 500"), Call(), Call())))
    metrics.set_requests(running=3, waiting=2)
    assert read(metrics, "tutelage_calls_total", model="big", result="failed") == 1
    assert read(metrics, "tutelage_calls_total", model="big", result="answered") == 2
    assert read(metrics, "tutelage_requests_running") == 3
    assert read(metrics, "tutelage_requests_waiting") == 2


def test_a_budget_that_is_gone_is_shown_no_more_and_budgets_are_bounded() -> None:
    metrics = Metrics()
    shop = ("key", "shop", "day", Decimal(2), Decimal(1))
    metrics.set_budgets([shop, ("key", "bank", "day", Decimal(4), Decimal(5))])
    assert read(metrics, "tutelage_budget_spent_usd", kind="key", subject="bank", per="day") == 5
    metrics.set_budgets([shop])
    assert read(metrics, "tutelage_budget_usd", kind="key", subject="shop", per="day") == 2
    assert read(metrics, "tutelage_budget_usd", kind="key", subject="bank", per="day") is None
    metrics.set_budgets([("key", f"k{n}", "day", Decimal(300), Decimal(n)) for n in range(300)])
    shown = [name for name, _ in scrape(metrics) if name == "tutelage_budget_usd"]
    assert len(shown) == 100


def test_an_unknown_cost_is_counted_apart_and_adds_nothing() -> None:
    metrics = Metrics()
    metrics.observe_interaction(Done(cost_usd=None, teacher_cost_usd=None))
    where = {"workload": "support", "tier": "teacher"}
    assert read(metrics, "tutelage_cost_unknown_total", **where) == 1
    assert read(metrics, "tutelage_cost_usd_total", **where) is None
    assert read(metrics, "tutelage_interaction_cost_usd_count") == 0
    assert read(metrics, "tutelage_teacher_cost_usd_total", workload="support") is None


def test_escalation_is_the_teachers_share_of_the_last_thousand() -> None:
    metrics = Metrics()
    for _ in range(500):
        metrics.observe_interaction(Done())
    for _ in range(750):
        metrics.observe_interaction(Done(tier="student"))
    assert read(metrics, "tutelage_escalation_ratio", workload="support") == 0.25


def test_a_new_release_replaces_the_old_one() -> None:
    metrics = Metrics()
    metrics.set_release("w", student="embedded@1", policy="promise")
    metrics.set_release("w", student="embedded@1", policy="promise")
    metrics.set_release("w", student="embedded@2", policy="promise")
    shown = {labels: v for (n, labels), v in scrape(metrics).items() if "release_info" in n}
    assert shown == {(("policy", "promise"), ("student", "embedded@2"), ("workload", "w")): 1.0}


def test_labels_are_bounded() -> None:
    metrics = Metrics()
    for n in range(250):
        name = f"w{n}"
        metrics.observe_interaction(Done(workload=name, reason=name, attempts=(Call(model=name),)))
        metrics.set_promise(name, 0.9, 0.9)
        metrics.add_drift_alarm(name, "agreement")
        metrics.set_release(name, student="none", policy="teacher")
    seen: dict[str, set[str]] = {}
    for _, labels in scrape(metrics):
        for label, value in labels:
            seen.setdefault(label, set()).add(value)
    for label in ("workload", "reason", "gen_ai_request_model"):
        assert len(seen[label]) == 101, label
        assert "other" in seen[label]
    where = {"workload": "other", "reason": "other", "tier": "teacher"}
    assert read(metrics, "tutelage_interactions_total", **where) == 150


def test_two_instances_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.add_dropped(3)
    assert read(one, "tutelage_records_dropped_total") == 3
    assert read(other, "tutelage_records_dropped_total") == 0


def test_threads_lose_no_count() -> None:
    metrics = Metrics()

    def observe() -> None:
        for n in range(300):
            metrics.observe_interaction(Done(workload=f"w{n % 150}"))

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(v for (n, _), v in scrape(metrics).items() if n == "tutelage_interactions_total")
    assert total == 1200


def test_missing_usage_is_an_alert() -> None:
    metrics = Metrics()
    metrics.observe_interaction(Done(attempts=(Call(), Call(basis="unknown"))))
    metrics.add_bodies_dropped(2)
    page = metrics.render()[0].decode()
    assert 'tutelage_usage_missing_total{model="big"} 1.0' in page
    assert "tutelage_record_bodies_dropped_total 2.0" in page

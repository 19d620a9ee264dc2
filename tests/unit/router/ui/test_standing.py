from __future__ import annotations

from dataclasses import replace

import pytest

from policies.promise.certificate import Certificate, Terms
from policies.promise.drift import Alarm
from policies.promise.ledger import Ledger
from policies.types import Trial
from router.deciding.outlook import Outlook
from router.settings.model import PromiseSettings, Settings, WorkloadSettings
from router.ui.standing import describe_workloads, read_account


def observe(certificate: Certificate, count: int, *, wrong: bool = False) -> None:
    for _ in range(count):
        certificate.observe(Trial(level=0, seen=True, wrong=wrong, propensity=1.0, floor=1.0))


def test_a_fresh_certificate_proves_nothing() -> None:
    reading = read_account(Certificate(Terms(agreement=0.95)))
    assert (reading.level, reading.lower_bound) == (None, None)
    assert (reading.progress, reading.trials) == (0.0, 0)


def test_progress_grows_until_a_level_is_accepted() -> None:
    certificate = Certificate(Terms(agreement=0.95))
    observe(certificate, 20)
    half_way = read_account(certificate)
    assert half_way.level is None
    assert 0.0 < half_way.progress < 1.0
    observe(certificate, 400)
    served = read_account(certificate)
    assert served.level is not None
    assert served.lower_bound == certificate.lower_bound(served.level) >= 0.95
    assert (served.progress, served.trials) == (1.0, 420)


def test_progress_is_never_negative() -> None:
    certificate = Certificate(Terms(agreement=0.95))
    observe(certificate, 20, wrong=True)
    assert read_account(certificate).progress == 0.0


def test_a_ledger_first_earns_its_start() -> None:
    ledger = Ledger(Terms(agreement=0.9))
    readings = []
    for _ in range(600):
        ledger.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
        readings.append(read_account(ledger))
    first, last = readings[0], readings[-1]
    assert (first.level, first.lower_bound, first.levels) == (None, None, 1)
    assert 0.0 < first.progress < readings[50].progress < 1.0
    assert (last.level, last.progress, last.trials) == (0, 1.0, 600)
    assert last.lower_bound == ledger.agreement() > 0.9


def test_an_alarm_is_told_until_its_effect_has_worn_off() -> None:
    certificate = Certificate(Terms(agreement=0.95))
    observe(certificate, 400)
    alarm = Alarm(kind="novelty", trial=400, strength=2.0)
    workload = WorkloadSettings(name="w", promise=PromiseSettings(agreement=0.95))
    settings = Settings(workloads=(workload,))

    def tell() -> str:
        readings = {"w": read_account(certificate, alarm)}
        (entry,) = describe_workloads(settings, readings, {"w": "r1"}, None)
        return str(entry["mode"])

    assert tell().startswith("Serving at level")
    certificate.withdraw()
    assert tell() == (
        "Tightened after drift: requests lie further from what was learned than they used to. "
        "Observing: not proven yet, nothing is served"
    )
    observe(certificate, 100)
    assert "than they used to. Serving at level" in tell()
    observe(certificate, 200)
    assert tell().startswith("Serving at level")


def test_a_ledger_tells_an_alarm_too() -> None:
    ledger = Ledger(Terms(agreement=0.9))
    for _ in range(600):
        ledger.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    alarm = Alarm(kind="agreement", trial=600, strength=1.0)
    assert read_account(ledger, alarm).drift is None
    ledger.withdraw()
    assert read_account(ledger).drift is None
    assert "less often than the gate expects" in str(read_account(ledger, alarm).drift)


def test_the_snapshot_is_another_object_in_the_same_state() -> None:
    certificate = Certificate(Terms(agreement=0.95))
    observe(certificate, 20)
    reading = read_account(certificate)
    observe(certificate, 20)
    assert isinstance(reading.snapshot, Certificate)
    assert (reading.snapshot.trials, certificate.trials) == (20, 40)


NOT_YET = Outlook(
    kind="not_yet", cause="not_proven", sentence="Not yet.", checks=1234, cost_usd="0.5"
)


@pytest.mark.parametrize(
    ("outlook", "mode"),
    [
        (None, "not proven yet, nothing is served"),
        (NOT_YET, "not proven yet, about 1,200 more checks, $0.5000"),
        (replace(NOT_YET, cost_usd=None), "not proven yet, about 1,200 more checks"),
        (
            replace(NOT_YET, cause="start_not_earned", checks=570),
            "not proven yet, about 570 more interactions, $0.5000",
        ),
        (replace(NOT_YET, checks=None), "not proven yet, nothing is served"),
        (replace(NOT_YET, kind="infeasible"), "the promise is infeasible, nothing is served"),
    ],
)
def test_what_is_missing_is_named(outlook: Outlook | None, mode: str) -> None:
    shop = WorkloadSettings(name="shop", promise=PromiseSettings(agreement=0.95))
    reading = read_account(Certificate(Terms(agreement=0.95)))
    (entry,) = describe_workloads(
        Settings(workloads=(shop,)),
        {"shop": reading},
        {"shop": "digest"},
        None,
        {} if outlook is None else {"shop": outlook},
    )
    assert entry["mode"] == f"Observing: {mode}"
    assert (entry["promise"]["outlook"] is None) is (outlook is None)


def test_each_slice_has_a_line_of_its_own() -> None:
    whole, part = Certificate(Terms(agreement=0.9)), Certificate(Terms(agreement=0.95))
    observe(whole, 400)
    observe(part, 30)
    slices = [{"name": "s", "match": "x", "agreement": 0.95}]
    workload = WorkloadSettings.model_validate(
        {"name": "w", "promise": {"agreement": 0.9}, "slices": slices}
    )
    readings = {"w": read_account(whole, None, {"s": part})}
    outlook = Outlook(kind="not_yet", cause="not_proven", sentence="Not yet.", checks=40)
    first, second = describe_workloads(
        Settings(workloads=(workload,)), readings, {"w": "r1"}, None, {"w/s": outlook}
    )
    assert (first["slice"], second["slice"]) == (None, "s")
    assert first["serving"] is True
    assert second["serving"] is False
    assert second["mode"] == "Slice s: Observing: not proven yet, about 40 more checks"
    assert (second["promise"]["agreement"], second["promise"]["trials"]) == (0.95, 30)
    observe(part, 400)
    unserved = {"w": read_account(Certificate(Terms(agreement=0.9)), None, {"s": part})}
    entries = describe_workloads(Settings(workloads=(workload,)), unserved, {"w": "r1"}, None)
    assert [entry["serving"] for entry in entries] == [False, False]

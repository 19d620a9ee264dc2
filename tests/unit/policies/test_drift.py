"""The watch: what it tests, what it leaves alone, and what it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.promise.drift import Alarm, Watch
from policies.types import Trial


def trial(**changes: Any) -> Trial:
    values = {"level": 0, "seen": True, "wrong": False, "propensity": 1.0, "floor": 1.0}
    return Trial(**{**values, **changes})


def feed(watch: Watch, count: int, **changes: Any) -> list[Alarm]:
    found = [watch.observe(trial(**changes)) for _ in range(count)]
    return [alarm for alarm in found if alarm is not None]


def fill_levels(watch: Watch, **changes: Any) -> list[Alarm]:
    """200 trials whose ``nearest`` goes to and fro."""
    values = [0.6 + 0.3 * (i * 7 % 10) / 10 for i in range(200)]
    found = [watch.observe(trial(nearest=value, **changes)) for value in values]
    return [alarm for alarm in found if alarm is not None]


@pytest.mark.parametrize(
    "silent",
    [
        pytest.param({"wrong": True}, id="no-confidence"),
        pytest.param({"wrong": True, "confidence": 0.9, "seen": False}, id="not-seen"),
        pytest.param({"confidence": 0.3}, id="better-than-predicted"),
        pytest.param({"confidence": 0.9, "nearest": 0.5}, id="ever-the-same"),
        pytest.param({"confidence": 0.001, "wrong": True}, id="hopeless-as-predicted"),
        pytest.param({"teacher_version": "a"}, id="one-version"),
    ],
)
def test_what_raises_no_alarm(silent: dict[str, Any]) -> None:
    watch = Watch()
    assert feed(watch, 3_000, **silent) == []
    assert (watch.trials, watch.last) == (3_000, None)


def test_drafts_that_disagree_raise_an_alarm_that_says_what_and_when() -> None:
    watch = Watch()
    assert feed(watch, 50, confidence=0.95) == []
    (alarm,) = feed(watch, 8, confidence=0.95, wrong=True)
    assert alarm.kind == "agreement"
    assert 52 <= alarm.trial <= 58
    assert alarm.strength >= 1.0
    assert watch.last == alarm


def test_after_an_alarm_the_new_agreement_becomes_the_normal_one() -> None:
    watch = Watch()
    assert feed(watch, 10, confidence=0.9, wrong=True)
    alarms = [watch.observe(trial(confidence=0.8, wrong=i % 2 == 0)) for i in range(400)]
    assert alarms == [None] * 400


def test_a_gate_that_is_always_a_bit_too_sure_is_recalibrated() -> None:
    """Right in 7 of 10 where it says 0.8: odds 1.7 times as good as they are."""
    watch = Watch()
    alarms = [watch.observe(trial(confidence=0.8, wrong=i % 10 in (0, 3, 7))) for i in range(4_000)]
    assert alarms == [None] * 4_000


def test_queries_far_from_what_was_learned_raise_an_alarm() -> None:
    watch = Watch()
    assert fill_levels(watch) == []
    (alarm,) = feed(watch, 20, nearest=0.2)
    assert (alarm.kind, alarm.trial > 200) == ("novelty", True)


def test_drafts_less_sure_than_before_raise_an_alarm() -> None:
    watch = Watch()
    unseen = [trial(confidence=0.6 + 0.3 * (i * 7 % 10) / 10, seen=False) for i in range(200)]
    assert [watch.observe(one) for one in unseen] == [None] * 200
    (alarm,) = feed(watch, 20, confidence=0.2, seen=False)
    assert alarm.kind == "evidence"


def test_another_release_has_another_level() -> None:
    watch = Watch()
    fill_levels(watch, release="a")
    assert feed(watch, 50, nearest=0.2, release="b") == []


def test_a_version_never_seen_raises_an_alarm_once() -> None:
    watch = Watch()
    found = [
        watch.observe(trial(teacher_version=version))
        for version in ("v1", "v1", None, "v2", "v1", "v2", "v3")
    ]
    assert [alarm and (alarm.kind, alarm.trial, alarm.strength) for alarm in found] == [
        *(None, None, None),
        ("teacher", 4, 1.0),
        *(None, None),
        ("teacher", 7, 1.0),
    ]


def test_a_teacher_that_names_ever_others_stops_to_say_anything() -> None:
    watch = Watch()
    found = [watch.observe(trial(teacher_version=f"v{i}")) for i in range(50)]
    assert sum(alarm is not None for alarm in found) == 7


def test_after_another_alarm_less_evidence_is_enough() -> None:
    def count_until_alarm(*versions: str) -> int:
        watch = Watch()
        for version in versions:
            watch.observe(trial(teacher_version=version))
        alarms = feed(watch, 20, confidence=0.7, wrong=True)
        return alarms[0].trial - len(versions)

    assert count_until_alarm("v1", "v2") < count_until_alarm("v1", "v1")


def noticed() -> Watch:
    watch = Watch()
    fill_levels(watch, release="r", confidence=0.9, teacher_version="v1")
    feed(watch, 30, nearest=0.2, release="r", confidence=0.9, wrong=True, teacher_version="v2")
    return watch


def test_a_snapshot_goes_through_json_and_back() -> None:
    watch = noticed()
    state = json.loads(json.dumps(watch.state()))
    again = Watch.restore(state)
    assert again.last == watch.last is not None
    assert again.state() == watch.state()
    more = [trial(confidence=0.9, nearest=0.1, wrong=True, release="r")] * 120
    assert [again.observe(one) for one in more] == [watch.observe(one) for one in more]


def test_two_releases_in_turns_are_each_ranked_among_their_own() -> None:
    """One's values are always lower: that is what they are like, and no change."""
    watch = Watch()
    values = [0.6 + 0.3 * (i * 7 % 10) / 10 for i in range(400)]
    found = []
    for i, value in enumerate(values):
        in_turn = {"release": "b", "nearest": value / 2} if i % 3 == 0 else {"release": "a"}
        found.append(watch.observe(trial(**{"nearest": value, **in_turn})))
        watch = Watch.restore(json.loads(json.dumps(watch.state())))
    assert found == [None] * 400
    # What each is like is remembered through the turns: the same one falling raises an alarm.
    for _ in range(10):
        watch.observe(trial(release="a", nearest=0.8))
        watch.observe(trial(release="b", nearest=0.4))
    assert [alarm.kind for alarm in feed(watch, 30, release="a", nearest=0.2)][:1] == ["novelty"]


SHORT = {"evidence": [0.0, 0.0], "counts": [1]}


@pytest.mark.parametrize(
    "change",
    [
        {"trials": "many"},
        {"last": {"kind": "weather", "trial": 1, "strength": 1.0}},
        {"last": {"kind": "teacher"}},
        {"agreement": {"evidence": [1.0], "offset": 0.0, "settling": 0}},
        {"agreement": {"evidence": [-1.0, 0.0, 0.0], "offset": 0.0, "settling": 0}},
        {"agreement": {"evidence": [0.0, 0.0, 0.0], "offset": 1.0, "settling": 0}},
        {"levels": {}},
        {"levels": dict.fromkeys(("novelty", "evidence"), SHORT)},
    ],
)
def test_a_snapshot_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Watch.restore(noticed().state() | change)


def test_when_drafts_began_to_disagree_is_told_by_the_alarm_and_kept() -> None:
    watch = Watch()
    feed(watch, 300, confidence=0.95)
    assert watch.changed is None
    while not feed(watch, 1, confidence=0.95, wrong=True):
        pass
    assert watch.changed is not None
    assert 300 <= watch.changed < watch.trials
    state = json.loads(json.dumps(watch.state()))
    assert Watch.restore(state).changed == watch.changed
    # A milder alarm later doesn't make one forget it; states from before it was kept are read.
    feed(watch, 1, teacher_version="a")
    (alarm,) = feed(watch, 1, teacher_version="b")
    assert (alarm.kind, watch.changed) == ("teacher", state["changed"])
    for name in ("changed", "calm", "earlier"):
        del state[name]
    assert Watch.restore(state).changed is None


def test_earlier_changes_are_kept_too_the_newest_of_many() -> None:
    watch = Watch()
    changes: list[int] = []
    for _ in range(10):
        feed(watch, 300, confidence=0.95)
        before = watch.changed
        while watch.changed == before:
            feed(watch, 1, confidence=0.95, wrong=True)
        assert watch.changed is not None
        changes.append(watch.changed)
    assert [*watch.earlier, watch.changed] == changes[-8:] == sorted(changes)[-8:]
    assert Watch.restore(json.loads(json.dumps(watch.state()))).earlier == watch.earlier

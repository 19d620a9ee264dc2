"""``tutelage distill`` and ``tutelage releases`` as their users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.cli import main
from router.release import load_release
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import TEACHER, Shop

MESSAGES = make_messages(260, seed=1)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(folder=tmp_path)


@pytest.fixture
def learned(shop: Shop) -> Shop:
    """One that has learned twice."""
    shop.answer(MESSAGES[:110])
    assert shop.run("distill", "run").code == 0
    shop.answer(MESSAGES[110:], "more")
    assert shop.run("distill", "run").code == 0
    return shop


@pytest.mark.parametrize(
    "words",
    [
        ("distill",),
        ("distill", "learn"),
        ("distill", "run", "--seed", "-1"),
        ("distill", "run", "--seed", "one"),
        ("distill", "next", "--answers", "0"),
        ("distill", "next", "--cycle-usd", "-1"),
        ("distill", "next", "--per-day", "many"),
        ("distill", "watch", "--look-every", "0"),
        ("distill", "watch", "--look-every", "inf"),
        ("distill", "watch", "--look-every", "soon"),
        ("releases",),
        ("releases", "promote"),
        ("releases", "rollback"),
        ("releases", "list", "support"),
    ],
)
def test_bad_usage(shop: Shop, words: tuple[str, ...]) -> None:
    said = shop.run(*words)
    assert (said.code, said.out) == (2, "")
    assert "usage: tutelage" in said.err
    assert "_read_" not in said.err
    assert not (shop.folder / "t.db").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("distill", "run"),
        ("distill", "watch"),
        ("distill", "status"),
        ("distill", "next"),
        ("releases", "list"),
    ],
)
def test_help_shows_an_example(shop: Shop, words: tuple[str, ...]) -> None:
    said = shop.run(*words, "--help")
    assert said.code == 0
    assert f"example: tutelage {' '.join(words)}" in said.out
    assert "./tutelage.yaml where it exists" in " ".join(said.out.split())


@pytest.mark.parametrize(
    "words",
    [
        ("distill", "run"),
        ("distill", "status"),
        ("distill", "next"),
        ("releases", "list"),
        ("releases", "promote", "abcdef"),
        ("releases", "rollback", "support"),
    ],
)
def test_without_a_store_nothing_is_made(shop: Shop, words: tuple[str, ...]) -> None:
    assert "There is no store at" in shop.run(*words).refusal
    assert [path.name for path in shop.folder.iterdir()] == ["tutelage.yaml"]


def test_with_an_empty_store(shop: Shop) -> None:
    shop.answer([])
    assert "no answers to learn from yet" in shop.run("distill", "run").refusal
    assert shop.run("distill", "status").out == "No answers to learn from yet.\n"
    assert shop.run("distill", "next").out == "No answers to learn from yet.\n"
    assert shop.run("releases", "list").out == "No releases yet.\n"
    assert shop.run("releases", "list", "--json").lines == [[]]
    assert shop.run("distill", "status", "--json").code == 0


def test_a_known_workload_may_have_no_releases(shop: Shop) -> None:
    shop.answer(MESSAGES[:1])
    said = shop.run("releases", "list", "--workload", "support")
    assert (said.code, said.out) == (0, "No releases yet.\n")
    assert "support: 1 answer; " in shop.run("distill", "status").out


def test_the_teachers_secret_is_not_needed(tmp_path: Path) -> None:
    models = {"teacher": TEACHER | {"api_key_env": "NO_SUCH_KEY"}}
    shop = Shop(folder=tmp_path, settings={"models": models})
    shop.answer(MESSAGES[:110])
    for words in (("distill", "run"), ("distill", "status"), ("releases", "list")):
        assert shop.run(*words).code == 0


def test_the_configuration_of_the_folder_is_used(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.answer(MESSAGES[:110])
    monkeypatch.chdir(shop.config.parent)
    assert main(["distill", "status"]) == 0
    assert "support: 110 answers" in capsys.readouterr().out


def test_run_says_what_came_of_it(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    said = shop.spawn("distill", "run")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("promoted: support: release 1 learned from 110 questions with 6")
    assert said.out.count("\n") == 1
    again = shop.run("distill", "run", "--workload", "support", "--json", "--seed", "3")
    (report,) = again.lines
    assert (report["workload"], report["result"]) == ("support", "promoted")
    assert report["dataset"]["rows"] == 110
    assert set(report) == {
        *("workload", "result", "sentence", "release", "dataset", "rungs"),
        *("noise", "gate", "losses", "curve", "clusters", "teacher_noise"),
    }


def test_run_of_a_workload_that_is_not_there(shop: Shop) -> None:
    shop.answer(MESSAGES[:10])
    refusal = shop.run("distill", "run", "--workload", "suport").refusal
    assert refusal == "Workload 'suport' has no answers to learn from; there are: support."


def test_run_without_a_licence_says_so_loudly(tmp_path: Path) -> None:
    teacher = {"upstream": "http://127.0.0.1:9/v1", "model": "m"}
    shop = Shop(folder=tmp_path, settings={"models": {"teacher": teacher}})
    shop.answer(MESSAGES[:110])
    said = shop.run("distill", "run", "--json")
    assert "NOTHING IS LEARNED" in said.err
    assert [report["result"] for report in said.lines] == ["too_few"]
    status = shop.run("distill", "status")
    assert "NOTHING IS LEARNED" in status.out
    assert shop.run("distill", "status", "--json").code == 0


def test_status(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    assert "110 answers; the next cycle is due" in shop.run("distill", "status").out
    shop.run("distill", "run")
    said = shop.run("distill", "status").out
    assert "the next cycle starts at 160" in said
    assert "last cycle: promoted" in said
    assert "agreement: skipped" in said
    assert "    the teacher: like questions contradict " in said
    report = json.loads(shop.run("distill", "status", "--json").out)
    (workload,) = report["workloads"]
    assert (workload["answers"], workload["needed"], workload["due"]) == (110, 160, False)
    assert workload["last_cycle"]["outcome"] == "promoted"
    assert report["problems"] == []


def test_status_says_how_far_the_promise_is(tmp_path: Path) -> None:
    slices = [{"name": "refunds", "match": "*refund*"}]
    promised = {"name": "support", "promise": {"agreement": 0.95}, "slices": slices}
    shop = Shop(folder=tmp_path, settings={"workloads": [promised]})
    shop.answer(MESSAGES[:110])
    assert "promise: Can't be told yet: there is no release" in shop.run("distill", "status").out
    shop.run("distill", "run")
    (digest,) = (one["digest"] for one in json.loads(shop.run("releases", "list", "--json").out))
    inside = {"slices": [{"name": "refunds", "level": 0, "floor": 1.0}]}
    drafted = {"release": digest, "level": 0, "draft_agreed": True, "trace": (inside,)}
    shop.answer(MESSAGES[110:160], "drafted", **drafted)
    (report,) = json.loads(shop.run("distill", "status", "--json").out)["workloads"]
    assert report["outlook"]["kind"] == "not_yet"
    assert report["outlook"]["checks"] > 0
    (found,) = report["slices"]
    assert (found["slice"], found["confidence"]) == ("refunds", pytest.approx(0.975))
    assert found["outlook"]["kind"] == "not_yet"
    assert "slice refunds: Not yet: about" in shop.run("distill", "status").out
    assert f"  promise: {report['outlook']['sentence']}" in shop.run("distill", "status").out


def test_list_promote_and_rollback(learned: Shop) -> None:
    (listed,) = [json.loads(learned.run("releases", "list", "--json").out)]
    assert [(one["number"], one["state"]) for one in listed] == [(2, "active"), (1, "retired")]
    newer, older = (one["digest"] for one in listed)
    assert load_release(Path(listed[0]["path"])).digest == newer
    plain = learned.run("releases", "list", "--workload", "support").out
    assert [line.split()[:4] for line in plain.splitlines()] == [
        ["support", "#2", newer[:12], "active"],
        ["support", "#1", older[:12], "retired"],
    ]
    refusal = learned.run("releases", "list", "--workload", "else").refusal
    assert refusal == "Workload 'else' is not known; there are: support."

    back = learned.run("releases", "rollback", "support")
    assert back.out == f"support: release #1 {older[:12]} is in force.\n"
    onward = learned.run("releases", "promote", newer[:8], "--json")
    assert onward.lines == [{"workload": "support", "release": newer}]
    learned.run("releases", "rollback", "support")
    last = learned.run("releases", "rollback", "support")
    assert last.out == "support: no release is in force; the teacher answers.\n"
    refusal = learned.run("releases", "rollback", "support").refusal
    assert refusal == "Workload 'support' has no release in force."
    store = learned.open()
    actions = [event.action for event in store.release_events()]
    store.close()
    assert actions == [
        *("promoted", "retired", "promoted"),
        *("retired", "rolled_back", "retired", "promoted"),
        *("retired", "rolled_back", "retired"),
    ]


@pytest.mark.parametrize(
    ("start", "said"), [("abc", "too short"), ("zzzzzz", "No releases begin with 'zzzzzz'")]
)
def test_promote_what_is_not_there(learned: Shop, start: str, said: str) -> None:
    assert said in learned.run("releases", "promote", start).refusal


def test_a_damaged_release_is_not_put_in_force(learned: Shop) -> None:
    newer, older = json.loads(learned.run("releases", "list", "--json").out)
    (Path(older["path"]) / "manifest.json").write_text("{}")
    for words in (("promote", older["digest"]), ("rollback", "support")):
        assert "can't be used" in learned.run("releases", *words).refusal
    store = learned.open()
    assert store.active_releases() == {"support": newer["digest"]}
    store.close()


def test_a_rejected_release_is_not_put_in_force(learned: Shop) -> None:
    store = learned.open()
    older = store.releases()[1].digest
    store.reject_release(older, "test")
    store.close()
    assert "was rejected" in learned.run("releases", "promote", older).refusal


def test_a_release_that_cannot_be_written(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    shop.releases.write_text("a file is in the way")
    assert "can't be written" in shop.run("distill", "run").refusal
    assert "last cycle: failed" in shop.run("distill", "status").out
    assert shop.run("releases", "list").out == "No releases yet.\n"


def test_another_cycle_is_running(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    store = shop.open()
    assert store.begin_cycle("support", 110) is not None
    store.close()
    said = shop.run("distill", "run")
    assert (said.code, said.err) == (1, "")
    assert said.out.startswith("busy: support: another cycle is running; ")
    assert "running" in shop.run("distill", "status").out

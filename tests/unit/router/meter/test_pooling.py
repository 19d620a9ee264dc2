"""Several processes, one page: what adds up, what doesn't, and what the dead had counted."""

from __future__ import annotations

from pathlib import Path

from router.meter.board import Board, fold_ended
from router.meter.metrics import Metrics
from tests.unit.router.meter.test_metrics import Done, read, scrape


def workers(folder: Path, count: int = 2) -> list[Metrics]:
    return [Metrics(Board(folder)) for _ in range(count)]


def test_each_shows_what_all_have_counted(tmp_path: Path) -> None:
    first, second = workers(tmp_path)
    for _ in range(3):
        first.observe_interaction(Done())
    second.observe_interaction(Done())
    second.observe_interaction(Done(workload="other-work"))
    first.share()
    counted = {"workload": "support", "tier": "teacher", "reason": "observe"}
    for one in (second, first):  # each posts its own before it shows
        assert read(one, "tutelage_interactions_total", **counted) == 4
        assert read(one, "tutelage_cost_usd_total", workload="support", tier="teacher") == 1.0
        assert read(one, "tutelage_interaction_cost_usd_count") == 5
        assert read(one, "tutelage_interaction_cost_usd_bucket", le="0.1") == 0
        assert read(one, "tutelage_interaction_cost_usd_bucket", le="+Inf") == 5


def test_a_page_is_the_same_in_kind_as_that_of_one_process(tmp_path: Path) -> None:
    alone, (first, second) = Metrics(), workers(tmp_path)
    for one in (alone, first):
        one.observe_interaction(Done())
        one.set_promise("support", 0.97, 0.96)
    second.share()
    assert scrape(first).keys() == scrape(alone).keys()
    kinds = [line for line in alone.render()[0].split(b"\n") if line.startswith(b"# TYPE")]
    assert [line for line in first.render()[0].split(b"\n") if line.startswith(b"# TYPE")] == kinds


def test_gauges_are_put_together_by_what_they_show(tmp_path: Path) -> None:
    first, second = workers(tmp_path)
    for running, bound, one in ((2, 0.95, first), (5, 0.93, second)):
        one.set_requests(running=running, waiting=1)
        one.set_promise("support", 0.97, bound)
        one.set_release("support", student="embedded@1", policy="promise")
    for _ in range(3):
        first.observe_interaction(Done(tier="student"))
    second.observe_interaction(Done(tier="teacher"))
    second.share()
    assert read(first, "tutelage_requests_running") == 7
    assert read(first, "tutelage_requests_waiting") == 2
    assert read(first, "tutelage_promise", workload="support") == 0.97
    assert read(first, "tutelage_agreement_lower_bound", workload="support") == 0.93
    assert read(first, "tutelage_escalation_ratio", workload="support") == 0.25
    release = {"workload": "support", "student": "embedded@1", "policy": "promise"}
    assert read(first, "tutelage_release_info", **release) == 1


def test_a_budget_is_what_was_read_for_this_page(tmp_path: Path) -> None:
    first, second = workers(tmp_path)
    of = {"kind": "key", "subject": "shop", "per": "day"}
    second.set_budgets([(*of.values(), 1, 0.9)])  # of yesterday
    second.share()
    first.set_budgets([(*of.values(), 1, 0.1)])
    assert read(first, "tutelage_budget_spent_usd", **of) == 0.1


def test_the_dead_keep_their_counts_and_no_gauge(tmp_path: Path) -> None:
    dead, living = workers(tmp_path)
    dead.add_dropped(2)
    dead.set_requests(running=9, waiting=9)
    dead.share()
    end(dead)
    assert read(living, "tutelage_records_dropped_total") == 2
    assert read(living, "tutelage_requests_running") == 0
    for _ in range(2):
        fold_ended(tmp_path)
        assert read(living, "tutelage_records_dropped_total") == 2
    assert read(living, "tutelage_requests_running") == 0
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".lock", ".reading"]
    another = Metrics(Board(tmp_path))
    another.add_dropped(5)
    another.share()
    end(another)
    fold_ended(tmp_path)
    assert read(living, "tutelage_records_dropped_total") == 7


def test_a_file_that_is_folded_already_counts_once(tmp_path: Path) -> None:
    """As where the parent ends between writing the one and deleting the other."""
    dead, living = workers(tmp_path)
    dead.add_dropped(2)
    dead.share()
    (posted,) = tmp_path.glob("*.reading")
    content = posted.read_bytes()
    end(dead)
    fold_ended(tmp_path)
    posted.write_bytes(content)
    assert read(living, "tutelage_records_dropped_total") == 2
    fold_ended(tmp_path)
    assert read(living, "tutelage_records_dropped_total") == 2


def test_labels_stay_bounded_however_many_workers_die(tmp_path: Path) -> None:
    living = Metrics(Board(tmp_path))
    for number in range(4):
        dead = Metrics(Board(tmp_path))
        for name in range(60):
            dead.observe_interaction(Done(workload=f"w{number}-{name}"))
        dead.share()
        end(dead)
        fold_ended(tmp_path)
    found = {
        dict(labels)["workload"]: value
        for (name, labels), value in scrape(living).items()
        if name == "tutelage_interactions_total"
    }
    assert len(found) == 101
    assert sum(found.values()) == 240
    assert found["other"] == 140


def end(worker: Metrics) -> None:
    """As the end of its process does."""
    board = worker._board
    assert board is not None
    board._alive.give_back(remove=False)

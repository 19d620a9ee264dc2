"""What an encoder is taught, and what stops it before any compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distill.train.encoder.tuning import (
    LabelledText,
    TuningError,
    check_rows,
    digest_rows,
    make_tuning,
    read_rows,
    write_rows,
)
from distill.train.tuned import draw_kept

ROWS = [
    LabelledText(text="where is it?", label=0, weight=2.0),
    LabelledText(text="zurück – bitte\nsofort", label=1, probability=0.75),
]
ANSWERS = ["parcel", "refund"]


def test_rows_come_back_as_they_were_written() -> None:
    assert read_rows(write_rows(ROWS).splitlines()) == ROWS


def test_a_digest_covers_rows_answers_and_order() -> None:
    digests = {
        digest_rows(ROWS, ANSWERS),
        digest_rows(ROWS, ["parcel", "return"]),
        digest_rows(ROWS[::-1], ANSWERS),
        digest_rows([ROWS[0], replace(ROWS[1], probability=None)], ANSWERS),
    }
    assert len(digests) == 4


def test_an_option_replaces_the_recipes_own() -> None:
    assert make_tuning(epochs=7, seed=3).as_mapping()["epochs"] == 7


@pytest.mark.parametrize(
    "options, said",
    [
        ({"rank": 8}, "no option 'rank'"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be above 0"),
        ({"smoothing": 1.0}, "below 1"),
    ],
)
def test_a_recipe_that_can_not_run_is_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(TuningError, match=said):
        make_tuning(**options)


def test_good_rows_pass() -> None:
    check_rows(ROWS, ANSWERS)


def test_all_that_is_wrong_with_rows_is_said_at_once() -> None:
    rows = [
        LabelledText(text=" ", label=5),
        LabelledText(text="a", label=5, weight=0.0, probability=1.5),
    ]
    with pytest.raises(TuningError) as told:
        check_rows(rows, ANSWERS)
    for part in ("2 have an answer that isn't", "1 are empty", "1 have a weight", "1 have a prob"):
        assert part in str(told.value)
    assert "one answer" in str(told.value)


def test_what_is_kept_from_the_tuning_is_drawn_by_the_seed() -> None:
    kept = draw_kept(2_000, 0.2, 1)
    assert kept.sum() == 400
    assert (kept == draw_kept(2_000, 0.2, 1)).all()
    assert (kept != draw_kept(2_000, 0.2, 2)).any()


def test_of_few_questions_a_gate_gets_enough() -> None:
    assert [int(draw_kept(n, 0.2, 0).sum()) for n in (100, 250, 600)] == [50, 100, 120]
    assert draw_kept(250, 0.2, 0).dtype == np.bool_

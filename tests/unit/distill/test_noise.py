"""Noise in the teacher's answers: seen where there is some, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from distill.dataset import BuildTerms, Dataset, build_dataset
from distill.dataset.model import LEARNING_TERMS
from distill.noise import (
    LEAST_SIMILARITY,
    Score,
    TeacherNoise,
    Told,
    combine,
    find_noise,
    measure_noise,
    poll,
    write_noise,
)
from policies.types import Tier
from router.record.model import Corrected, Feedback, TrainingRow
from router.record.redact import Redactor
from tests.unit.distill.learning_rows import allow, row

ANSWERS = [f"a{i % 10}" for i in range(100)]


def strangers(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors of questions that have nothing to do with each other."""
    drawn = np.random.default_rng(seed).normal(size=(count, 384)).astype(np.float32)
    unit: NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def like(count: int, similarity: float) -> NDArray[np.float32]:
    """Unit vectors of which any two have this cosine."""
    own = np.eye(384, dtype=np.float32)[:count]
    shared = np.eye(384, dtype=np.float32)[-1]
    return np.asarray(
        np.sqrt(similarity) * shared + np.sqrt(1.0 - similarity) * own, dtype=np.float32
    )


def told(*answers: str) -> list[Told]:
    return [Told(said=answer) for answer in answers]


def test_four_like_questions_among_a_hundred_of_which_one_contradicts_the_others() -> None:
    vectors = np.vstack([strangers(50), like(4, 0.85), strangers(50, seed=1)])
    answers = [*ANSWERS[:50], "parcel", "parcel", "refund", "parcel", *ANSWERS[50:]]
    polls = poll(vectors, answers)
    assert [i for i, one in enumerate(polls) if one.like >= 3] == [50, 51, 52, 53]
    assert polls[52].said == "parcel"
    found = measure_noise(vectors, told(*answers))
    assert (found.questions, found.polled, found.contradicted) == (104, 4, 1)


@pytest.mark.parametrize(
    ("answers", "similarity", "polled", "contradicted"),
    [
        ("aab", 0.9, 0, 0),  # two others are too few
        ("aaab", 0.79, 0, 0),  # not like enough
        ("aaab", 0.9, 4, 1),
        ("aabb", 0.9, 4, 4),  # each is outnumbered two to one by the others
        ("aabc", 0.9, 4, 2),  # of the others of b and c two thirds say a
        ("abcd", 0.9, 4, 0),
        ("aaaa", 0.9, 4, 0),
        ("aaaaaab", 0.9, 7, 1),
        ("aaaabbb", 0.9, 7, 3),  # a: four of six for b's, but three of six for a's
    ],
)
def test_who_is_contradicted(
    answers: str, similarity: float, polled: int, contradicted: int
) -> None:
    found = measure_noise(like(len(answers), similarity), told(*answers))
    assert (found.polled, found.contradicted) == (polled, contradicted)


def test_only_the_seven_nearest_are_asked() -> None:
    near, far = like(8, 0.95), like(20, 0.95)
    far = np.asarray(0.85 * near.mean(axis=0) + 0.5 * far[:, ::-1], dtype=np.float32)
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    vectors = np.vstack([far, near])
    assert (far @ near.T).min() > LEAST_SIMILARITY
    polls = poll(vectors, ["other"] * 20 + ["same"] * 7 + ["odd"])
    assert [one.said for one in polls[20:]] == ["same"] * 8
    assert all(one.like == 7 for one in polls)


def test_many_questions_are_polled_as_few_are() -> None:
    """More than one block of them."""
    vectors = np.vstack([strangers(700), like(4, 0.9), strangers(500, seed=1)])
    answers = ["x"] * 703 + ["y"] + ["x"] * 500
    polls = poll(vectors, answers)
    assert polls[703].said == "x"
    assert sum(one.like >= 3 for one in polls) == 4


def test_who_is_right_where_it_is_known() -> None:
    a = Told(said="a", right="a")
    odd = Told(said="b", right="a", drafted="a")
    assert measure_noise(like(4, 0.9), [a, a, a, odd]) == TeacherNoise(
        questions=4,
        polled=4,
        contradicted=1,
        teacher=Score(known=1, right=0),
        neighbours=Score(known=1, right=1),
        student=Score(known=1, right=1),
    )
    refuted = replace(odd, right=None, refuted=True, drafted="b")
    found = measure_noise(like(4, 0.9), [a, a, a, refuted])
    assert (found.teacher, found.student) == (Score(known=1), Score(known=1))
    assert found.neighbours == Score()  # that the teacher is wrong makes nobody else right
    unknown = measure_noise(like(4, 0.9), [a, a, a, Told(said="b", drafted="a")])
    assert (unknown.contradicted, unknown.teacher) == (1, Score())


def test_nothing_is_made_up_of_nothing() -> None:
    described = measure_noise(strangers(0), []).describe()
    assert (described["questions"], described["share"], described["low"]) == (0, None, None)
    assert described["right_there"]["teacher"] == {
        **{"known": 0, "right": 0},
        **{"share": None, "low": None, "high": None},
    }
    assert "can't be seen" in write_noise(described)


def test_the_interval_and_the_sentence() -> None:
    found = TeacherNoise(
        questions=300,
        outvoted=2,
        polled=100,
        contradicted=5,
        teacher=Score(known=4, right=1),
        neighbours=Score(known=4, right=3),
    )
    described = found.describe()
    assert (described["share"], round(described["low"], 3), round(described["high"], 3)) == (
        *(0.05, 0.022, 0.112),
    )
    assert write_noise(described) == (
        "like questions contradict 5 of 100 answers (5.0%, 2.2% to 11.2%), the same question 2 "
        "more; right there: teacher 1 of 4, neighbours 3 of 4."
    )
    assert combine([found, found]).describe()["contradicted"] == 10
    assert combine([found, found]).neighbours == Score(known=8, right=6)


FOUR = ("where is it", "where's it now", "so where is it", "tell me where it is")


def learned(*corrected: Corrected, terms: BuildTerms = LEARNING_TERMS) -> Dataset:
    rows = [
        row(text, answer, id=f"i{i}", seq=i)
        for i, (text, answer) in enumerate(zip(FOUR, "aaab", strict=True))
    ]
    redactor = Redactor(())
    return build_dataset("shop", rows, allow("teacher"), redactor, corrected=corrected, terms=terms)


def say(i: int, correction: str | None = None, score: float | None = None) -> Corrected:
    given: TrainingRow = row(FOUR[i], "b", id=f"i{i}", seq=i)
    return Corrected(
        **{
            name: getattr(given, name)
            for name in ("seq", "id", "created_at", "tenant", "key_name", "group", "comparer")
        },
        input_text=given.input_text,
        request=given.request,
        teacher_answer=given.teacher_answer,
        teacher_model="teacher",
        feedback=Feedback(interaction_id=given.id, correction=correction, score=score),
    )


DRAFTS = np.zeros(4, dtype=np.intp)


@pytest.mark.parametrize("target", ["teacher", "gold"])
def test_a_correction_tells_who_is_right_whether_or_not_it_is_taught(target: str) -> None:
    terms = replace(LEARNING_TERMS, target=target)
    # One correction of four questions is over its key's share: it isn't taught, but it is known.
    dataset = learned(say(3, "a"), terms=terms)
    found = find_noise(dataset, like(4, 0.9), DRAFTS)
    assert found.contradicted == 1
    assert (found.teacher, found.neighbours) == (Score(known=1), Score(known=1, right=1))
    assert found.student == Score(known=1, right=1)


def test_a_correction_that_is_taught_hides_the_teachers_answer_from_nobody() -> None:
    dataset = learned()
    questions = [*dataset.questions]
    questions[3] = replace(questions[3], key="label:a", teacher_key=questions[3].key)
    found = find_noise(replace(dataset, questions=questions), like(4, 0.9), DRAFTS)
    assert found.contradicted == 1


@pytest.mark.parametrize(
    ("score", "tier", "teacher"),
    [
        (1.0, Tier.TEACHER, Score(known=1, right=1)),
        (-1.0, Tier.TEACHER, Score(known=1)),
        # What was scored there was the student's answer.
        (1.0, Tier.STUDENT, Score()),
        (-1.0, Tier.STUDENT, Score()),
    ],
)
def test_a_score_is_about_the_answer_that_was_given(
    score: float, tier: Tier, teacher: Score
) -> None:
    rows = [
        row(text, answer, id=f"i{i}", seq=i, tier=tier)
        for i, (text, answer) in enumerate(zip(FOUR, "aaab", strict=True))
    ]
    dataset = build_dataset(
        *("shop", rows, allow("teacher"), Redactor(())), corrected=[say(3, score=score)]
    )
    assert find_noise(dataset, like(4, 0.9), DRAFTS).teacher == teacher


def test_answers_from_before_a_change_are_old_and_not_noisy() -> None:
    dataset = learned(terms=replace(LEARNING_TERMS, changed_seq=2))
    found = find_noise(dataset, like(4, 0.9), DRAFTS)
    assert (found.questions, found.polled) == (1, 0)


def test_repeats_that_were_outvoted_are_counted_apart() -> None:
    rows = [row(text, "b" if i == 2 else "a", seq=i) for i, text in enumerate(["Where?"] * 4)]
    dataset = build_dataset("shop", rows, allow("teacher"), Redactor(()))
    found = find_noise(dataset, like(1, 0.9), DRAFTS[:1])
    assert (found.questions, found.polled, found.outvoted) == (1, 0, 1)

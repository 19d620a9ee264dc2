"""Near-duplicates: found where they are, not found where they aren't, and not in quadratic time."""

from __future__ import annotations

import random
import time

from distill.dataset.near import group, near_pairs

BASE = "I ordered a blue jacket last Tuesday and it has not arrived at my address yet"


def shingles(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(len(text) - 4)}


def jaccard(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def test_a_pair_is_found_exactly_where_its_similarity_reaches_the_least() -> None:
    other = BASE.replace("blue", "red")
    similarity = jaccard(BASE.lower(), other.lower())
    assert 0.7 < similarity < 0.95
    assert list(near_pairs([BASE, other], similarity)) == [(0, 1)]
    assert list(near_pairs([BASE, other], similarity + 0.001)) == []
    assert list(near_pairs([BASE, "something else altogether"], 0.1)) == []


def test_case_and_space_are_no_difference_and_short_texts_are_compared() -> None:
    assert list(near_pairs([BASE, BASE.upper().replace(" ", "  ")], 1.0)) == [(0, 1)]
    assert list(near_pairs(["ok", "OK", "no", ""], 0.5)) == [(0, 1)]


def test_nearly_all_near_pairs_among_many_are_found() -> None:
    rng = random.Random(5)
    words = [f"word{i}" for i in range(400)]
    texts = [" ".join(rng.sample(words, 30)) for _ in range(300)]
    texts += [text.rsplit(" ", 1)[0] for text in texts]  # one word less: about .95
    found = set(near_pairs(texts, 0.8))
    twins = {(i, i + 300) for i in range(300)}
    assert len(twins & found) >= 299
    assert found <= twins


def test_a_template_filled_in_many_times_is_one_group_in_good_time() -> None:
    texts = [f"{BASE}, my number is {i:05d}" for i in range(3_000)]
    began = time.process_time()
    groups = group(len(texts), near_pairs(texts, 0.8))
    assert set(groups) == {0}
    assert time.process_time() - began < 20


def test_groups_are_connected_components_named_by_their_first() -> None:
    assert group(6, iter([(1, 4), (4, 5), (0, 2)])) == [0, 1, 0, 3, 1, 1]

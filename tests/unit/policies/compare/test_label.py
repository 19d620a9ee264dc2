"""The label comparer against near-misses."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compare import get_comparer
from policies.types import Answer, Shape

SHAPE = Shape()
LABEL = get_comparer("label")


def agrees(left: str, right: str) -> bool:
    return LABEL.agrees(Answer(content=left), Answer(content=right), SHAPE)


SAME = [
    ("card_arrival", "Card arrival."),
    ("card_arrival", "card-arrival"),
    ("card_arrival", "CARD ARRIVAL"),
    ("card arrival", "  card \t arrival \n"),
    ("card arrival", "card\u00a0arrival"),
    ("card arrival", "card\u2010arrival"),
    ("card arrival", "card\u2011arrival"),
    ("card arrival", '"Card arrival"'),
    ("card arrival", '"Card arrival."'),
    ("card arrival", '"Card arrival".'),
    ("card arrival", "“Card arrival”"),
    ("card arrival", "„Card arrival“"),
    ("card arrival", "«card arrival»"),
    ("card arrival", "`card_arrival`"),
    ("card arrival", "'card arrival'"),
    ("card arrival", '" card arrival "'),
    ("card arrival", "card arrival:"),
    ("card arrival", "card arrival!"),
    ("card arrival", "\ufeffcard arrival\u200b"),
    ("top_up_by_card_charge", "Top-up by card charge"),
    ("e-mail", "e mail"),
    ("a_b", "a b"),
    ("A", "a."),
    ("C", "C."),
    ("C++", "c++."),
    ("5", "5."),
    ("don't know", "don’t know"),
    ("café", "cafe\u0301"),
    ("\u1fc1", "\u00a8\u0342"),
    ("CAFÉ", "café"),
    ("ｃａｒｄ １", "card 1"),
    ("はい", "はい。"),
    ("ﬁne", "fine"),
    ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ("Maße", "MAẞE"),
    ("ISTANBUL", "istanbul"),
    ("👍", " 👍 "),
]

DIFFERENT = [
    ("card arrival", "not card arrival"),
    ("card arrival", "card arrivals"),
    ("card arrival", "cardarrival"),
    ("card arrival", "card arrival now"),
    ("card arrival", "arrival card"),
    ("yes", "yes, but"),
    ("yes but", "yes, but"),
    ("yes", "yes?"),
    ("yes", "yes..."),
    ("yes", "yes…"),
    ("yes", "yes!?"),
    ("yes", "no"),
    ("yes", "¬yes"),
    ("yes", "!yes"),
    ("yes", "~yes"),
    ("yes", "- yes"),
    ("yes", "**yes**"),
    ("yes", "```yes```"),
    ("yes", "(yes)"),
    ("yes", "<yes>"),
    ("yes", '"yes'),
    ("yes", "yes'"),
    ("yes", '"yes" or "no"'),
    ("yes", "yes yes"),
    ("yes", "label: yes"),
    ('"yes" or "no"', 'yes" or "no'),
    ("yes no", "yes\nno"),
    ("yes no", "yes/no"),
    ("yes no", "yes, no"),
    ("C", "C++"),
    ("C", "C#"),
    ("C#", "C++"),
    ("C", "C:"),
    ("C", "C-"),
    ("C", ".C"),
    ("NET", ".NET"),
    ("A", "A+"),
    ("A", "A, B"),
    ("A-C", "A C"),
    ("x-y", "x y"),
    ("x_y", "x-y"),
    ("re sign", "resign"),
    ("-1", "1"),
    ("+1", "1"),
    ("−1", "1"),
    ("tier -1", "tier 1"),
    ("tier-1", "tier 1"),
    ("1_0", "10"),
    ("1-0", "1 0"),
    ("1.0", "1"),
    ("1.0", "10"),
    ("1", "10"),
    (".5", "5"),
    ("1,000", "1000"),
    ("1 000", "1000"),
    ("5!", "5"),
    ("n!", "n"),
    ("50%", "50"),
    ("$5", "5"),
    ("5'", "5"),
    ('5"', "5"),
    ("(5)", "5"),
    ("[0, 1)", "(0, 1]"),
    ("#1", "1"),
    ("10²", "102"),
    ("x₁", "x1"),
    ("xⁿ", "xn"),
    ("1ª", "1a"),
    ("1½", "11⁄2"),
    ("⒈5", "1.5"),
    ("①", "1"),
    ("m²", "m2"),
    ("ℝ", "R"),
    ("é", "e"),
    ("ñ", "n"),
    ("Maße", "Masse"),
    ("istanbul", "İstanbul"),
    ("ısı", "isi"),
    ("ᾳ", "αι"),
    ("a", "а"),  # Latin and Cyrillic
    ("l", "I"),
    ("0", "O"),
    ("card\u200barrival", "cardarrival"),
    ("card\u200barrival", "card arrival"),
    ("card\u202earrival", "cardarrival"),
    ("👍", "👎"),
    ("👍", "👍🏽"),
    ("🇩🇪", "🇪🇩"),
    ("?", "!"),
    (".", "..."),
    ("-", "_"),
    ("+", "-"),
    (":)", ":("),
    ("''", '""'),
    ("null", "none"),
    ("true", "1"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_the_same_label_written_otherwise(left: str, right: str) -> None:
    assert agrees(left, right)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_a_near_miss_disagrees(left: str, right: str) -> None:
    assert agrees(left, left)
    assert agrees(right, right)
    assert not agrees(left, right)


@pytest.mark.parametrize("text", ["?", "...", "''", '"', "👍", "—", "()", "\u0301"])
def test_a_label_of_marks_alone_is_still_a_label(text: str) -> None:
    assert agrees(text, text)


ANY_LABEL = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="aA_-\u2010 .!?\"'“”’\n\u200b\ufeffß\u0345İ´¨", max_size=8),
)
FORMS: st.SearchStrategy[Literal["NFC", "NFD"]] = st.sampled_from(["NFC", "NFD"])


@settings(deadline=None)
@given(ANY_LABEL)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    key = LABEL.key(Answer(content=text), SHAPE)
    if key is not None:
        assert LABEL.key(Answer(content=key.removeprefix("label:")), SHAPE) == key


@settings(deadline=None)
@given(ANY_LABEL, FORMS)
def test_how_accents_are_composed_does_not_count(text: str, form: Literal["NFC", "NFD"]) -> None:
    assert LABEL.key(Answer(content=text), SHAPE) == LABEL.key(
        Answer(content=unicodedata.normalize(form, text)), SHAPE
    )


@settings(deadline=None)
@given(st.text(alphabet="0123456789.,+-%$²½ ", min_size=1, max_size=6))
def test_a_number_keeps_every_character_but_space_and_a_full_stop(text: str) -> None:
    key = LABEL.key(Answer(content=text), SHAPE)
    shown = " ".join(text.split())
    assert key is None or key.removeprefix("label:") in {shown, shown.removesuffix(".").strip()}


@settings(deadline=None)
@given(st.text(alphabet="abc", min_size=1), st.text(alphabet="abc", min_size=1))
def test_words_agree_only_where_they_are_equal(left: str, right: str) -> None:
    assert agrees(left, right) == (left == right)

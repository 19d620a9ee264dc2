"""What of a stored dataset a student that writes is trained on."""

from __future__ import annotations

from distill.train.examples import read_examples, write_examples
from distill.train.taught import teach
from tests.unit.distill.dataset.test_export import examples


def test_text_is_taught_and_the_rest_is_counted() -> None:
    (taught,), left_out = teach(examples())
    assert (taught.answer, taught.licence, taught.drafts) == ("parcel", "allowed", ())
    assert [message["role"] for message in taught.messages] == ["system", "user"]
    assert left_out == {"tools": 1, "other content than text": 1}
    assert read_examples(write_examples([taught]).splitlines(), "x")[0].messages == list(
        taught.messages
    )


def test_preferences_are_over_what_is_known_to_be_worse() -> None:
    (taught,), left_out = teach(examples(), ranked=True)
    assert [(draft.text, draft.grade) for draft in taught.ranked()] == [
        ("parcel", 1.0),
        ("order", 0.0),
    ]
    assert left_out == {"tools": 1, "nothing worse than the answer": 1}

"""A learner of many cycles reads each row once, and forgets what was erased."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from distill.dataset import Dataset, build_dataset
from distill.dataset.memory import RowMemory
from policies.types import Answer
from router.record.model import TrainingRow
from router.record.redact import Redactor
from router.record.store import Store
from router.wire.openai import answer_to_json
from tests.unit.distill.learning_rows import allow
from tests.unit.router.record.records import make_record


class CountingRedactor(Redactor):
    def __init__(self) -> None:
        super().__init__(("email",))
        self.texts: list[str] = []

    def text(self, text: str) -> str:
        self.texts.append(text)
        return super().text(text)


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store.open(":memory:")
    yield store
    store.close()


def add(store: Store, text: str, said: str, **changes: str) -> None:
    teacher = answer_to_json(Answer(content=said, finish_reason="stop"))
    store.append([make_record(text, input_text=text, teacher_answer=teacher, **changes)])


def build(store: Store, redactor: Redactor, memory: RowMemory | None) -> Dataset:
    rows = memory.read(store, "support") if memory else store.training_rows("support")
    return build_dataset("support", rows, allow("teacher"), redactor, memory=memory)


def test_with_a_memory_the_dataset_is_the_same_and_a_row_is_read_once(store: Store) -> None:
    memory, redactor = RowMemory(), CountingRedactor()
    add(store, "my card jo@example.com", "card")
    add(store, "elsewhere", "card", workload="other")
    build(store, redactor, memory)
    add(store, "my pin", "pin")
    redactor.texts.clear()
    found = build(store, redactor, memory)
    assert "my card jo@example.com" not in redactor.texts
    assert found.bundle.digest == build(store, Redactor(("email",)), None).bundle.digest
    assert [question.text for question in found.questions] == ["my card [email]", "my pin"]


def test_what_was_erased_is_forgotten(store: Store) -> None:
    memory = RowMemory()
    add(store, "my card", "card", key_name="a")
    add(store, "my pin", "pin", key_name="b")
    assert len(memory.read(store, "support")) == 2
    store.erase_key("a")
    add(store, "my limit", "limit", key_name="b")
    kept: list[TrainingRow] = memory.read(store, "support")
    assert [row.input_text for row in kept] == ["my pin", "my limit"]
    assert kept == list(store.training_rows("support"))

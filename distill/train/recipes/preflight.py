"""What must hold before any compute; every problem is said at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from distill.train.examples import Example
from distill.train.losses.spec import PREFERENCE_TERMS, SOFT_TERMS
from distill.train.recipes.encode import Encoding
from distill.train.recipes.recipe import CONTINUES, Recipe

TIERS = ("text only", "sampled-token", "top-k", "full vocabulary")
"""What a teacher gives, from least to most."""


class TrainingRefused(ValueError):
    """The run would fail or teach what it must not; the message has a sentence per problem."""


def tier_of(recipe: Recipe, examples: Sequence[Example], scoring: str | None) -> str:
    """The tier that this run makes use of; ``scoring``: what the scoring teacher gives, if any."""
    if recipe.losses.has(SOFT_TERMS):
        if scoring is not None:
            return scoring
        if any(example.top_k is not None for example in examples):
            return "top-k"
    confident = any(
        term.options.get("teacher_confidence", 0) > 0 for term in recipe.losses.terms
    ) and any(example.confidence is not None for example in examples)
    return "sampled-token" if confident else "text only"


def check_examples(
    recipe: Recipe,
    examples: Sequence[Example],
    *,
    vocabulary: str,
    teacher_vocabulary: str | None,
    continues: bool,
) -> None:
    """Raises TrainingRefused. ``teacher_vocabulary``: of the scoring teacher, None without one;
    ``continues``: a trained adapter was given to start from."""
    problems = [
        *_data_problems(examples),
        *_teacher_problems(recipe, examples, vocabulary, teacher_vocabulary),
    ]
    if recipe.name in CONTINUES and not continues:
        problems.append(
            f"The recipe {recipe.name} continues a trained student: train one with the recipe "
            "sequence first and start from it."
        )
    if problems:
        raise TrainingRefused(" ".join(problems))


def check_encoding(recipe: Recipe, encoding: Encoding, *, context: int | None = None) -> None:
    """Raises TrainingRefused where nothing fits, or packed log-probabilities don't line up.

    ``context``: tokens of the longest sequence that a scoring teacher takes, one of which it writes
    itself; None for any.
    """
    if not encoding.rows:
        raise TrainingRefused(f"No example fits into {recipe.max_tokens} tokens: raise max_tokens.")
    if context is not None:
        _check_context(recipe, encoding, context - 1)
    if not recipe.losses.has(SOFT_TERMS):
        return
    for row in encoding.rows:
        packed = row.example.top_k
        # The server may or may not have reported the token that ends the answer.
        if packed is not None and len(row.answer) - packed.tokens not in (0, 1):
            raise TrainingRefused(
                f"The example {row.example.id} has log-probabilities for {packed.tokens} tokens, "
                f"but its answer has {len(row.answer)}: they are of another tokenizer or text."
            )


def _check_context(recipe: Recipe, encoding: Encoding, most: int) -> None:
    drafted = recipe.name == "on_policy"
    longest = max(
        len(row.prompt) + recipe.new_tokens if drafted else row.tokens for row in encoding.rows
    )
    if longest > most:
        what = "a prompt with a draft of new_tokens" if drafted else "an example"
        options = "max_tokens or new_tokens" if drafted else "max_tokens"
        raise TrainingRefused(
            f"The scorer takes {most} tokens, but {what} has {longest}: lower {options}."
        )


def _data_problems(examples: Sequence[Example]) -> list[str]:
    if not examples:
        return ["There are no examples to train on."]
    problems = []
    barred = Counter(example.licence for example in examples if example.licence != "allowed")
    if barred:
        kinds = ", ".join(f"{count} with distillation: {kind}" for kind, count in barred.items())
        problems.append(
            "Only answers of models with distillation: allowed are trained on, but there are "
            f"{kinds}."
        )
    empty = sum(not example.answer.strip() or not example.messages for example in examples)
    if empty:
        problems.append(f"{empty} examples have no question or no answer: leave them out.")
    if any(example.weight <= 0 for example in examples):
        problems.append("An example has no positive weight: leave it out.")
    return problems


def _teacher_problems(
    recipe: Recipe, examples: Sequence[Example], vocabulary: str, teacher_vocabulary: str | None
) -> list[str]:
    problems = []
    if recipe.name == "on_policy" and teacher_vocabulary is None:
        problems.append("The recipe on_policy needs a teacher that scores the student's drafts.")
    if recipe.losses.has(SOFT_TERMS):
        scored = any(example.top_k is not None for example in examples)
        if recipe.name != "on_policy" and teacher_vocabulary is None and not scored:
            problems.append(
                "These losses compare distributions, but the teacher gave text alone: use the "
                "recipe sequence, a teacher that scores, or examples with top-k log-probabilities."
            )
        foreign = {example.vocabulary for example in examples if example.top_k is not None}
        if teacher_vocabulary is not None:
            foreign = {teacher_vocabulary}
        if foreign - {vocabulary}:
            problems.append(
                "Teacher and student have different vocabularies, so their token ids mean "
                "different things: use the recipe sequence, or a base model with the teacher's "
                "tokenizer."
            )
    if recipe.losses.has(PREFERENCE_TERMS) and not any(len(e.drafts) > 1 for e in examples):
        problems.append("No example has two drafts to compare: sample and rank drafts first.")
    if any(term.options.get("teacher_confidence", 0) > 0 for term in recipe.losses.terms) and any(
        example.confidence is None for example in examples
    ):
        problems.append(
            "teacher_confidence weighs by the teacher's log-probabilities, which some examples "
            "lack: leave the option out."
        )
    return problems

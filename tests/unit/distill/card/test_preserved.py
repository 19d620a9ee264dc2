"""What was preserved, each thing apart, on pairs whose figures are known beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from distill.card.estimate import Preserved
from distill.card.preserved import measure_preserved
from distill.card.reasoning import count_steps
from policies.types import Answer
from router.wire.openai import answer_to_json
from tests.unit.distill.learning_rows import row

SORT = 'Output only "yes" or "no", nothing else.'
JSON = "Answer with one JSON object with the keys name, total."
Said = tuple[str, str, str]
"""(system prompt, draft, teacher's answer)"""


def preserved(*said: Said, near: float | None = None, **judged: Any) -> dict[str, Preserved]:
    rows = []
    for i, (prompt, draft, teacher) in enumerate(said):
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": f"q {i}"}]
        rows.append(
            row(
                f"question number {i} about parcels",
                teacher,
                id=f"r{i}",
                request={"messages": messages},
                draft=answer_to_json(Answer(content=draft)),
                draft_agreed=draft == teacher,
                release="r",
                evidence={} if near is None else {"nearest": near + i / 1_000},
            )
        )
    kept, parts = measure_preserved(rows, "r", None, **judged)
    return {f"{one.kind}: {one.name}": one for one in [*kept, *parts]}


def both(found: Preserved) -> tuple[float | None, float | None]:
    return tuple(None if one is None else one.value for one in (found.student, found.teacher))


@pytest.mark.parametrize(
    ("prompt", "name", "good", "bad"),
    [
        (SORT, "one of the answers named", "No", "perhaps"),
        ("Answer with the one intent label that fits best.", "one label", "lost card", "A\nB"),
        (JSON, "JSON alone", '{"name": 1}', '```json\n{"name": 1}\n```'),
        (JSON, "the keys named", '{"name": 1, "total": 2}', '{"name": 1}'),
        ("Use at most 3 words.", "at most so many words", "one two three", "one two three four"),
        ("Reply in one sentence.", "at most so many sentences", "It is.", "It is. It was."),
        (
            "Answer without writing a complete sentence.",
            "no whole sentence",
            "the Eiffel tower",
            "That is the Eiffel tower.",
        ),
        (
            "Always answer in German.",
            "the language named",
            "das ist nicht für die Katze",
            "this is not for the cat",
        ),
    ],
)
def test_an_instruction_is_followed_or_is_not(prompt: str, name: str, good: str, bad: str) -> None:
    found = preserved((prompt, good, good), (prompt, bad, good))
    assert both(found[f"instruction following: {name}"]) == (0.5, 1.0)


def test_what_no_prompt_asks_for_is_not_judged() -> None:
    found = preserved(("Be kind.", "yes", "no"))
    assert not any(name.startswith("instruction following") for name in found)


def test_words_of_the_trade_are_those_the_questions_lack() -> None:
    said = "the consignment left the depot, your parcels follow"
    found = preserved(*[("", "your parcels follow the consignment", said)] * 30)
    prefix = "domain vocabulary: typical words"
    # consignment, depot, follow, left, the, your; parcels is the questions' word.
    assert (found[f"{prefix} used at all"].n, both(found[f"{prefix} used at all"])[0]) == (
        6,
        pytest.approx(4 / 6),
    )
    assert both(found[f"{prefix} in place"]) == (pytest.approx(4 / 6), 1.0)
    student, teacher = both(found[f"{prefix} per 100"])
    assert (student, teacher) == (pytest.approx(80.0), pytest.approx(100 * 7 / 8))


def test_style_is_told_from_chance() -> None:
    plain, marked = "One step. Then another.", "```python\n  x = 1\n```\n- **bold**"
    found = preserved(*[("", marked, plain)] * 40)
    style = "coding and writing style: "
    assert both(found[f"{style}with a code fence"]) == (1.0, 0.0)
    assert both(found[f"{style}with Markdown"]) == (1.0, 0.0)
    assert both(found[f"{style}lines indented"]) == (0.25, 0.0)
    assert both(found[f"{style}words a sentence"])[1] == 2.0
    apart, chance = both(found[f"{style}distance of style"])
    assert (apart or 0) > 0.3
    assert chance == pytest.approx(0.0, abs=1e-6)


def test_the_same_style_lies_within_chance() -> None:
    texts = [f"{'so ' * (i % 7)}it is {i}, " + "!" * (i % 3) for i in range(60)]
    found = preserved(*[("", text, texts[-1 - i]) for i, text in enumerate(texts)])
    distance = found["coding and writing style: distance of style"]
    assert distance.student is not None
    assert distance.teacher is not None
    assert distance.student.value < distance.teacher.high


def test_steps_are_counted_where_something_is_calculated() -> None:
    assert count_steps("He runs 3 * 4 = 12 metres.\nSo 12 x 2 = <<12*2=24>>24.\n#### 24") == 2
    assert count_steps("1. Open it.\n2. Close it.") == 2
    assert count_steps("card arrival") == 0


def test_reasoning_is_told_by_the_number_of_steps() -> None:
    two, one = "3 * 4 = 12. Then 12 + 1 = 13.", "3 * 4 = 12."
    said = [("", two if i % 4 else one, two) for i in range(20)] + [("", one, one)] * 20
    verdicts = {f"r{i}": (i % 2 == 0, True) for i in range(20)}
    found = preserved(*said, verdicts=verdicts)
    kind = "reasoning in steps: "
    assert both(found[f"{kind}agrees, 2 steps"]) == (0.75, None)
    assert both(found[f"{kind}agrees, 1 step"]) == (1.0, None)
    assert both(found[f"{kind}right, 2 steps"]) == (0.5, 1.0)
    assert f"{kind}right, 1 step" not in found


def test_the_rare_tail_is_what_lies_farthest_from_what_was_learned() -> None:
    said = [("", "wrong" if i < 12 else "right", "right") for i in range(240)]
    found = preserved(*said, near=0.1)
    assert (found[": the most unusual twentieth"].n, both(found[": all"])[0]) == (12, 0.95)
    assert both(found[": the most unusual twentieth"])[0] == 0.0
    assert ": the most unusual twentieth" not in preserved(*said)

"""What an operator must not overlook."""

from __future__ import annotations

from dataclasses import dataclass

from router.record.overview import Figures
from router.settings.model import Settings


@dataclass(frozen=True, kw_only=True)
class SinkReading:
    """Records on their way to the store: lost since the start, and waiting."""

    dropped: int
    waiting: int


def find_notes(settings: Settings, totals: Figures, sink: SinkReading) -> list[dict[str, str]]:
    """``{weight: alert | hint, title, text}`` each, the heavy ones first."""
    alerts = [*_learning(settings), *_losses(sink), *_costs(settings, totals)]
    hints = [] if settings.workloads else [_NO_WORKLOAD]
    return [{"weight": "alert", "title": title, "text": text} for title, text in alerts] + [
        {"weight": "hint", "title": title, "text": text} for title, text in hints
    ]


_NO_WORKLOAD = (
    "No workload is configured",
    "The teacher answers every request. For a student to take over, add a workload with"
    " promise: {agreement: 0.97} to the configuration.",
)


def _learning(settings: Settings) -> list[tuple[str, str]]:
    notes = []
    teacher = settings.teacher
    if teacher is None:
        notes.append(
            ("No teacher", "Requests for auto can't be answered: configure a model named teacher.")
        )
    for key, model in settings.models.items():
        asked = key == settings.teacher_key or (model.kind == "openai" and model.aliases)
        if not asked or model.distillation == "allowed":
            continue
        title = "Nothing is learned" if model is teacher else f"Nothing is learned from {key}"
        text = (
            f"models.{key}.distillation is {model.distillation}. Set it to allowed if the"
            " model's terms allow training on its answers."
        )
        notes.append((title, text))
    if settings.keys and not any(key.train_on for key in settings.keys):
        text = "No key has train_on: true, so no traffic may be learned from."
        notes.append(("Nothing is learned", text))
    return notes


def _losses(sink: SinkReading) -> list[tuple[str, str]]:
    if not sink.dropped:
        return []
    text = (
        f"{sink.dropped:,} records were lost since the gateway started and are missing below;"
        " its log says why."
    )
    return [("Records were dropped", text)]


def _costs(settings: Settings, totals: Figures) -> list[tuple[str, str]]:
    teacher = settings.teacher
    unpriced = teacher is not None and teacher.price is None
    if unpriced and totals.teacher_priced:
        text = "The teacher has no price any more, so the cost of new answers is unknown."
    elif unpriced:
        text = (
            "The teacher has no price, so neither costs nor savings can be told: set"
            f" models.{settings.teacher_key}.price."
        )
    elif totals.interactions and not totals.teacher_priced:
        text = "No answer so far came with usage that could be priced."
    else:
        return []
    return [("Cost is unknown", text)]

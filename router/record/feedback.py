"""What clients say of the answers that they got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping

from router.record.database import Database
from router.record.model import Corrected, Feedback
from router.record.schema import feedback, interactions

_PAGE: Final = 500
_OF_FEEDBACK: Final = ("interaction_id", "score", "correction", "label", "at")
_OF_INTERACTION: Final = (
    *("seq", "id", "created_at", "tenant", "key_name", "comparer", "input_text", "request"),
    *("teacher_answer", "teacher_model", "group"),
)


class FeedbackBook:
    """Feedback by interaction: one each, the newest that its key gave."""

    _database: Database
    _clock: Callable[[], float]

    def put_feedback(self, given: Feedback) -> Feedback:
        """Keep it in place of what was said of the interaction before.

        The same again changes nothing. Returns what is kept; its ``at`` is when it was first said.
        Raises IntegrityError, as the driver does, for an interaction that isn't there.
        """
        of_this = feedback.c.interaction_id == given.interaction_id
        with self._database.write() as connection:
            query = select(*(feedback.c[name] for name in _OF_FEEDBACK)).where(of_this)
            row = connection.execute(query).mappings().one_or_none()
            known = None if row is None else Feedback(**row)
            kept = Feedback(**{**asdict(given), "at": self._clock()})
            if known is None:
                connection.execute(insert(feedback).values(asdict(kept)))
            elif Feedback(**{**asdict(known), "at": kept.at}) == kept:
                return known
            else:
                connection.execute(update(feedback).where(of_this).values(asdict(kept)))
        return kept

    def feedback_of(self, interaction_id: str) -> Feedback | None:
        """What was said of an interaction."""
        query = select(*(feedback.c[name] for name in _OF_FEEDBACK))
        query = query.where(feedback.c.interaction_id == interaction_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Feedback(**row)

    def corrected(self, workload: str, after_seq: int = 0) -> Iterator[Corrected]:
        """What may be learned from a workload's feedback, in the interactions' order.

        Only of interactions whose key consents and whose texts are kept.
        """
        query = (
            select(
                *(interactions.c[name] for name in _OF_INTERACTION),
                *(feedback.c[name] for name in _OF_FEEDBACK),
            )
            .join(interactions, interactions.c.id == feedback.c.interaction_id)
            .where(
                interactions.c.workload == workload, interactions.c.train_ok, interactions.c.stored
            )
            .order_by(interactions.c.seq)
            .limit(_PAGE)
        )
        while True:
            with self._database.read() as connection:
                page = query.where(interactions.c.seq > after_seq)
                found = connection.execute(page).mappings().all()
            yield from (_to_corrected(row) for row in found)
            if len(found) < _PAGE:
                return
            after_seq = found[-1]["seq"]


def _to_corrected(row: RowMapping) -> Corrected:
    said = Feedback(**{name: row[name] for name in _OF_FEEDBACK})
    values: dict[str, Any] = {name: row[name] for name in _OF_INTERACTION}
    return Corrected(**values, feedback=said)

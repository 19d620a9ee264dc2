"""Server-sent events, bytes in and bytes out, as the WHATWG standard defines them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from router.wire.written_json import write_json

MAX_EVENT_BYTES = 1 << 20


class Last(bytes):
    """The event that ends a stream; what follows it is nobody's answer any more."""


DONE = Last(b"data: [DONE]\n\n")

_LINE_END = re.compile(rb"\r\n|\n|\r")
_PLAIN = b"data: "
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event is longer than the decoder accepts."""


class SseEvent(NamedTuple):
    """One event; ``raw`` are its bytes up to and including the blank line that ends it."""

    data: str
    event: str = "message"
    raw: bytes = b""


def encode(data: str | Mapping[str, Any], *, event: str | None = None) -> bytes:
    """One event; an object is written as JSON on a single line."""
    if not isinstance(data, str):
        head = b"" if event is None else b"event: %s\n" % event.encode()
        return b"%sdata: %s\n\n" % (head, write_json(data))
    lines = [] if event is None else [f"event: {event}"]
    lines += [f"data: {line}" for line in re.split(r"\r\n|\n|\r", data)]
    return ("\n".join(lines) + "\n\n").encode()


class SseDecoder:
    """Incremental decoder: feed it bytes as they come, however they are cut.

    Comments and events without data yield nothing; ``id`` and ``retry`` are ignored, because a
    completion can't be resumed. Raises ``EventTooLarge`` beyond ``max_event_bytes`` per event.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._pending = bytearray()  # from the start of the open event's current line
        self._scanned = 0  # bytes of pending known to hold no line end
        self._raw = bytearray()  # finished lines of the open event
        self._data: list[str] = []
        self._event = ""

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes and return the events that they complete."""
        if not data:
            return []
        pending = self._pending
        pending += data
        if not self._strip_start():
            return []
        events = self._take_plain()
        start = 0
        for end in _LINE_END.finditer(pending, self._scanned):
            line = pending[start : end.start()]
            self._raw += pending[start : end.end()]
            self._check_size(0)
            start = end.end()
            if line:
                self._take_line(line)
            else:
                events += self._dispatch()
        self._after_cr = start == len(pending) and pending.endswith(b"\r")
        del pending[:start]
        self._scanned = len(self._pending)
        self._check_size(self._scanned)
        return events

    def flush(self) -> list[SseEvent]:
        """The event left open at the end of the stream, where it has data.

        The standard drops it; servers that forget the last blank line exist.
        """
        if self._pending:
            self._raw += self._pending
            self._take_line(self._pending)
            self._pending.clear()
        self._scanned = 0
        self._raw += b"\n\n"
        return self._dispatch()

    def _take_plain(self) -> list[SseEvent]:
        """The events at the front that are one line of data each, as most servers send them: the
        general way, which takes all that the standard allows, takes several times as long."""
        events: list[SseEvent] = []
        pending, start = self._pending, 0
        while not self._raw and pending.startswith(_PLAIN, start):
            end = pending.find(b"\n\n", start)
            line = pending[start + len(_PLAIN) : end]
            if end < 0 or b"\n" in line or b"\r" in line:
                break
            if end + 2 - start > self._max_event_bytes:
                break
            raw = bytes(pending[start : end + 2])
            events.append(SseEvent(data=line.decode("utf-8", "replace"), raw=raw))
            start = end + 2
        if start:
            del pending[:start]
            self._scanned = 0
        return events

    def _strip_start(self) -> bool:
        """Drop a byte-order mark, or the second half of a CRLF that was cut in two.

        Returns False where more bytes are needed to tell.
        """
        if self._at_start:
            head = bytes(self._pending[: len(_BOM)])
            if len(head) < len(_BOM) and _BOM.startswith(head):
                return False
            if head == _BOM:
                del self._pending[: len(_BOM)]
            self._at_start = False
        elif self._after_cr and self._pending:
            if self._pending.startswith(b"\n"):
                del self._pending[:1]
            self._after_cr = False
        return True

    def _check_size(self, extra: int) -> None:
        if len(self._raw) + extra > self._max_event_bytes:
            raise EventTooLarge(f"An event is longer than {self._max_event_bytes} bytes.")

    def _take_line(self, line: bytearray) -> None:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value

    def _dispatch(self) -> list[SseEvent]:
        events = []
        if self._data:
            events.append(
                SseEvent(
                    data="\n".join(self._data),
                    event=self._event or "message",
                    raw=bytes(self._raw),
                )
            )
        self._data, self._event = [], ""
        self._raw.clear()
        return events

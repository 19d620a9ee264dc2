"""A shop whose store holds the teacher's answers, and the command that learns from them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from policies.types import Answer
from router.cli import main
from router.record.model import Interaction
from router.record.store import Store
from router.wire.openai import answer_to_json
from tests.unit.router.record.records import make_record

TUTELAGE = Path(sys.executable).parent / "tutelage"
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
TEACHER = {"upstream": "http://127.0.0.1:9/v1", "model": "m", "distillation": "allowed"}


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output as one JSON value per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def refusal(self) -> str:
        """The one sentence on standard error of a command that failed."""
        assert (self.code, self.out) == (1, ""), self
        assert self.err.startswith("tutelage: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("tutelage: ").strip()


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A folder with ``t.db`` and ``tutelage.yaml``; ``settings``: sections of the latter."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/t.db"

    @property
    def releases(self) -> Path:
        """Where releases are written."""
        return self.folder / "t-releases"

    @property
    def config(self) -> Path:
        path = self.folder / "tutelage.yaml"
        content = {"models": {"teacher": TEACHER}, "store": {"url": self.url}} | self.settings
        path.write_text(json.dumps(content))  # JSON is YAML
        return path

    def open(self) -> Store:
        return Store.open(self.url)

    def answer(
        self, messages: Iterable[tuple[str, str]], prefix: str = "i", **changes: Any
    ) -> None:
        """Store what the teacher said."""
        store = self.open()
        changes = {"created_at": time.time(), **changes}  # else too old to be kept
        store.append(list(interactions(messages, prefix, **changes)))
        store.close()

    def command(self, *words: str) -> list[str]:
        return [str(TUTELAGE), *words, "--config", str(self.config)]

    def run(self, *words: str) -> Said:
        """A command that ends by itself, in this process: starting one takes seconds."""
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        out, err = StringIO(), StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main([*words, "--config", str(self.config)])
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Said(code=code, out=out.getvalue(), err=err.getvalue())

    def spawn(self, *words: str) -> Said:
        """The same in a process of its own."""
        ended = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=120, check=False
        )
        return Said(code=ended.returncode, out=ended.stdout, err=ended.stderr)


def interactions(
    messages: Iterable[tuple[str, str]], prefix: str, **changes: Any
) -> Iterable[Interaction]:
    """Records of (message, label) pairs that the teacher answered."""
    for i, (text, label) in enumerate(messages):
        said = answer_to_json(Answer(content=label))
        fields = {"answer": said, "teacher_answer": said, "input_text": text} | changes
        yield make_record(f"{prefix}-{i}", **fields)

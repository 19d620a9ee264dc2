"""When a replay's answers become known: to the store that is learned from, and to the promises."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from policies.types import Trial
from router.deciding.promise import PromiseKeeper
from router.deciding.recall import RecallKeeper
from router.meter.metrics import Metrics
from router.record.model import Interaction, PromiseState
from router.record.store import Store
from router.settings.model import Settings
from router.upstream.model import UpstreamTarget


class DelayedRecords:
    """A sink that keeps the last record at hand and lets go of each ``delay`` queries later."""

    dropped = 0

    def __init__(self, store: Store, delay: int) -> None:
        self._store = store
        self._delay = delay
        self._secret: deque[Interaction] = deque()
        self._known: list[Interaction] = []
        self._last: Interaction | None = None

    @property
    def lag(self) -> int:
        return len(self._known)

    async def note(self, interaction: Interaction, *, final: bool = True) -> None:
        """A replay may be run again: nothing has to outlast it."""

    def put(self, interaction: Interaction, promise_state: PromiseState | None = None) -> None:
        self._last = interaction
        self._secret.append(interaction)

    def last(self) -> Interaction:
        """The interaction that was just recorded."""
        if self._last is None:
            raise RuntimeError("nothing was recorded")
        return self._last

    def reveal(self, *, everything: bool = False) -> list[Interaction]:
        """One more query has been answered: what is known by that."""
        found = []
        while self._secret and (everything or len(self._secret) > self._delay):
            found.append(self._secret.popleft())
        self._known += found
        return found

    def flush(self) -> None:
        """Write what is known to the store, and nothing else."""
        self._store.append(self._known)
        self._known.clear()

    def drain(self, timeout_s: float) -> int:
        self.flush()
        return 0


class DelayedPromises(PromiseKeeper):
    """Accounts and watches that hear of every interaction ``delay`` queries late."""

    def __init__(self, store: Store, metrics: Metrics, settings: Settings, delay: int) -> None:
        super().__init__(store, metrics, settings)
        self._delay = delay
        self._answered = 0
        self._unheard: deque[tuple[int, str, Trial]] = deque()

    def observe(self, workload: str, trial: Trial) -> PromiseState:
        """Note the trial; returns the snapshot without it."""
        self._unheard.append((self._answered, workload, trial))
        kept = self._kept[workload]
        return PromiseState(terms=kept.account.key, state=kept.state())

    def reveal(self, *, everything: bool = False) -> None:
        """One more query has been answered."""
        self._answered += 1
        while self._unheard and (everything or self._unheard[0][0] + self._delay < self._answered):
            _, workload, trial = self._unheard.popleft()
            super().observe(workload, trial)


class DelayedRecall(RecallKeeper):
    """Memories that hear of every answer ``delay`` queries late; no answer grows old."""

    def __init__(
        self, store: Store, settings: Settings, targets: Mapping[str, UpstreamTarget], delay: int
    ) -> None:
        super().__init__(store, settings, targets, clock=lambda: 0.0)
        self._delay = delay
        self._unheard: deque[Interaction] = deque()

    def observe(self, record: Interaction) -> None:
        """Note the answer."""
        self._unheard.append(record)

    def reveal(self, *, everything: bool = False) -> None:
        """One more query has been answered."""
        while self._unheard and (everything or len(self._unheard) > self._delay):
            super().observe(self._unheard.popleft())

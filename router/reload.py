"""A change of the configuration file is taken up while the gateway serves.

Requests keep the settings that they began with: the new ones are another ``Deps``, put in place of
the old one in one step. A file with an error leaves the settings in force.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from router.deciding.plugins import load_policies
from router.deciding.recall import RecallKeeper
from router.deps import Deps, build_targets
from router.errors import ConfigError, TutelageError
from router.settings.load import parse_settings, read_settings_file
from router.settings.model import Settings

_log = logging.getLogger("tutelage.config")


_OF_THE_PROCESS = ("host", "port", "workers", "drain_s")
"""Of ``server``: what a process is started with."""


class ConfigFollower:
    """Looks at a file and says what has become of it.

    ``problem``: why the file as it stands isn't in force, in one sentence; None where it is.
    """

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        """The file as it is now counts as in force."""
        self.problem: str | None = None
        self._path, self._env = path, env
        self._judged = self._seen = self._read()

    def look(self) -> Settings | None:
        """The file's settings, once for each change that has no error in it.

        A change counts once the file was the same at two looks: one that is still being written
        may well be read as a whole one that says less.
        """
        found = self._read()
        settled, self._seen = found == self._seen, found
        if found == self._judged or not settled:
            return None
        self._judged = found
        try:
            if isinstance(found, ConfigError):
                raise found
            settings = parse_settings(self._path, found, self._env)
        except ConfigError as error:
            self.problem = str(error)
            return None
        self.problem = None
        return settings

    def _read(self) -> str | ConfigError:
        try:
            return read_settings_file(self._path)
        except ConfigError as error:
            return _Unreadable(str(error))


class _Unreadable(ConfigError):
    """Equal to another that says the same."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unreadable) and str(self) == str(other)

    __hash__ = ConfigError.__hash__


def take_up(deps: Deps, settings: Settings) -> Deps:
    """The gateway's parts under other settings; those that hold connections, queues and what was
    learned are the same ones. What only a restart can change stays, which the log says.

    Raises TutelageError where the settings can't be in force; nothing has changed then.
    """
    before = deps.settings
    fixed = {name: getattr(before.server, name) for name in _OF_THE_PROCESS}
    server = settings.server.model_copy(update=fixed)
    kept = {
        "server": server,
        "store": before.store,
        "coordination": before.coordination,
        "telemetry": before.telemetry,
    }
    needs_restart = [name for name, part in kept.items() if part != getattr(settings, name)]
    if _describe_student(before) != _describe_student(settings):
        needs_restart.append("the servers of models.student")
    if before.data.retention_days != settings.data.retention_days:
        needs_restart.append("data.retention_days")
    effective = settings.model_copy(update=kept)
    targets = build_targets(effective)
    recall = deps.recall
    if effective.digest != before.digest:
        recall = RecallKeeper(deps.store, effective, targets)
    fresh = replace(
        deps,
        settings=effective,
        targets=targets,
        recall=recall,
        plugins=load_policies(effective),
    )
    deps.redactor.change(effective.data.redact)
    deps.admission.resize(
        max_in_flight=server.max_in_flight,
        max_waiting=server.max_waiting,
        max_wait_s=server.max_wait_s,
    )
    for name in needs_restart:
        _log.warning("The change of %s in the configuration needs a restart.", name)
    return fresh


def _describe_student(settings: Settings) -> tuple[object, ...]:
    """Where the student is, and how it is reached: its drafter is built once."""
    student = settings.generative_student
    if student is None:
        return ()
    return student.upstream, student.replicas, student.model, student.timeout_s


def explain_refusal(error: TutelageError | str) -> str:
    """For the log: why a changed file is not in force."""
    return f"The changed configuration is not taken up, the one before stays in force: {error}"

"""A configuration file in force, or one sentence why it can't be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from router.errors import ConfigError
from router.settings.check import examine_settings
from router.settings.model import Settings


def load_settings(path: Path | None, env: Mapping[str, str]) -> Settings:
    """The settings of a file, or the defaults where ``path`` is None.

    Secrets are read from ``env`` as it is now. Raises ConfigError, which names file, line and key
    of the first error and says how many more there are.
    """
    if path is None:
        return Settings().with_secrets(env)
    settings, problems = examine_settings(read_settings_file(path), env)
    if settings is not None:
        return settings
    first, *others = [problem for problem in problems if problem.severity == "error"]
    more = f" ({len(others)} more: tutelage check-config {path})" if others else ""
    raise ConfigError(f"{path}, line {first.line}: {first.sentence}{more}.")


def read_settings_file(path: Path) -> str:
    """The text of the file. Raises ConfigError where it can't be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        reason = "does not exist"
    except IsADirectoryError:
        reason = "is a folder: give the path of a file"
    except UnicodeDecodeError:
        reason = "is not text in UTF-8: save it as UTF-8"
    except OSError as error:
        reason = f"can't be read: {error.strerror or 'the system refuses'}"
    raise ConfigError(f"The configuration {path} {reason}.")

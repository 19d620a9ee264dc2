"""A configuration file in force, or one sentence why it can't be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from router.errors import ConfigError
from router.settings.check import examine_settings
from router.settings.document import parse_document
from router.settings.model import Settings
from router.settings.rules import View

DEFAULT_CONFIG = Path("tutelage.yaml")
"""What commands use, from the folder that they run in, where no configuration is named."""


def find_config(named: Path | None) -> Path | None:
    """The configuration that was named, else the default one where there is one."""
    if named is None and DEFAULT_CONFIG.exists():
        return DEFAULT_CONFIG
    return named


def load_settings(
    path: Path | None, env: Mapping[str, str], *, need_secrets: bool = True
) -> Settings:
    """The settings of a file, or the defaults where ``path`` is None.

    Secrets are read from ``env`` as it is now; without ``need_secrets`` they may be unset. Raises
    ConfigError, which names file, line and key of the first error and says how many more there are.
    """
    if path is None:
        return Settings().with_secrets(env)
    return parse_settings(path, read_settings_file(path), env, need_secrets=need_secrets)


def parse_settings(
    path: Path, text: str, env: Mapping[str, str], *, need_secrets: bool = True
) -> Settings:
    """The settings of the file's text, as ``load_settings``; ``path``: for messages only."""
    settings, problems = examine_settings(text, env if need_secrets else _fill_in(text, env))
    if settings is not None:
        return settings.with_secrets(env)
    first, *others = [problem for problem in problems if problem.severity == "error"]
    more = f" ({len(others)} more: tutelage check-config {path})" if others else ""
    raise ConfigError(f"{path}, line {first.line}: {first.sentence}{more}.")


def _fill_in(text: str, env: Mapping[str, str]) -> Mapping[str, str]:
    """``env`` with a stand-in for each secret that it lacks, to find what else is wrong.

    None for a name that the file also has as ${NAME}: a stand-in must not replace that.
    """
    view = View(parse_document(text, env))
    named = [model.get("api_key_env") for model in view.models.values()]
    named += [key.get("key_env") for key in view.keys.values()]
    named.append(view.admin.get("key_env"))
    unset = [name for name in named if isinstance(name, str) and not env.get(name)]
    return {**env, **{name: name for name in unset if f"${{{name}}}" not in text}}


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

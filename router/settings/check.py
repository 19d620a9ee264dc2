"""Everything that is wrong with a configuration, all at once."""

from __future__ import annotations

from collections.abc import Mapping

from router.settings.accuracy_rules import find_accuracy_errors
from router.settings.document import Document, parse_document
from router.settings.limit_rules import find_limit_errors
from router.settings.model import Settings
from router.settings.pool_rules import find_pool_errors
from router.settings.problems import Problem, in_order
from router.settings.rules import find_errors
from router.settings.rung_rules import find_rung_errors
from router.settings.train_rules import find_train_errors
from router.settings.validation import validate
from router.settings.warnings import find_warnings


def check_settings(text: str, env: Mapping[str, str]) -> list[Problem]:
    """Every error and warning of a configuration, by line. Never raises, never shows a secret."""
    return examine_settings(text, env)[1]


def examine_settings(text: str, env: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """The settings, None where there is an error, and every problem by line."""
    return examine_document(parse_document(text, env), env)


def examine_document(
    document: Document, env: Mapping[str, str]
) -> tuple[Settings | None, list[Problem]]:
    """``examine_settings`` of what was parsed already, or never was text."""
    if document.data is None and document.problems:
        return None, in_order(document.problems)
    settings, invalid = validate(document)
    # A rule may know better what to say about a key than its type does.
    broken = [
        *find_errors(document, env),
        *find_limit_errors(document),
        *find_pool_errors(document),
        *find_accuracy_errors(document),
        *find_train_errors(document),
        *find_rung_errors(document),
    ]
    keys = {problem.key for problem in broken}
    errors = [*document.problems, *broken, *(p for p in invalid if p.key not in keys)]
    problems = in_order([*errors, *find_warnings(document)])
    if errors or settings is None:
        return None, problems
    return settings.with_known_prices().with_secrets(env), problems

"""``tutelage explain (ID | --request FILE)``: the plan of an interaction or of a request."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from router.app import build_deps
from router.auth import Caller
from router.commands.opening import open_store
from router.deps import Deps
from router.errors import ConfigError, ReleaseError, StoreError, TutelageError
from router.explain.explanation import Facts, explain
from router.explain.planned import plan_request
from router.explain.recorded import read_interaction
from router.explain.text import write_text
from router.overlay import read_in_force
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings
from router.wire.openai import ChatRequest, parse_chat

_DRAIN_S = 1.0


def run(
    interaction: str | None,
    request: Path | None,
    config: Path | None,
    *,
    key: str | None,
    as_json: bool,
) -> int:
    """Print the explanation and return 0. Exactly one of ``interaction`` and ``request`` is given.

    ``key``: name of the configured key whose request it would be. Raises TutelageError.
    """
    raw = None if request is None else _read_request(request)
    with _open(config) as deps:
        notes = _take_up_releases(deps)
        if raw is None:
            facts = _find_interaction(deps, interaction or "")
        else:
            facts = asyncio.run(_plan(deps, parse_chat(raw), _find_caller(deps, key)))
    explanation = explain(replace(facts, notes=(*facts.notes, *notes)))
    print(
        json.dumps(explanation.to_json(), indent=2, ensure_ascii=False)
        if as_json
        else write_text(explanation)
    )
    return 0


async def _plan(deps: Deps, request: ChatRequest, caller: Caller) -> Facts:
    """The upstreams are there for a student behind a server: it drafts, the teacher isn't asked."""
    await deps.upstream.start()
    try:
        return await plan_request(deps, request, caller)
    finally:
        await deps.upstream.close()


@contextmanager
def _open(config: Path | None) -> Iterator[Deps]:
    """The gateway's parts over its store, beside a gateway that may be running: only read."""
    found = find_config(config)
    if found is None:
        raise ConfigError(
            f"No configuration given and there is no {DEFAULT_CONFIG} here: name one with --config."
        )
    settings = load_settings(found, os.environ, need_secrets=False)
    store = open_store(settings)
    deps = build_deps(read_in_force(settings, store), store, begins=False)
    try:
        yield deps
    finally:
        deps.drafter.close()
        deps.sink.drain(_DRAIN_S)
        deps.store.close()


def _take_up_releases(deps: Deps) -> Sequence[str]:
    """As the gateway does: one that can't be loaded hides no other. What went wrong, as a note."""
    try:
        deps.releases.refresh()
    except ReleaseError as error:
        return (str(error),)
    return ()


def _find_interaction(deps: Deps, interaction: str) -> Facts:
    record = deps.store.interaction(interaction.removeprefix("chatcmpl-"))
    if record is None:
        raise StoreError(
            f"The store holds no interaction {interaction}: take the id from the answer's header"
            " x-tutelage-id, at the earliest a second after it."
        )
    return read_interaction(deps, record)


def _read_request(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or "the system refuses"
        raise TutelageError(f"The request {path} can't be read: {reason}.") from None


def _find_caller(deps: Deps, name: str | None) -> Caller:
    """Whose request it would be: workloads of several tenants are apart."""
    keys = {key.name: key for key in deps.settings.keys}
    if name is None and len({key.tenant for key in keys.values()}) <= 1:
        name = next(iter(keys), None)
        if name is None:
            return Caller(key_name="", tenant="", train_on=True)
    if name not in keys:
        known = ", ".join(keys) or "none"
        said = "Say with --key whose request it is" if name is None else f"There is no key {name}"
        raise ConfigError(f"{said}; the configuration has: {known}.")
    return Caller(key_name=name, tenant=keys[name].tenant, train_on=keys[name].train_on)

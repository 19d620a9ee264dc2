"""``tutelage serve``: the gateway."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
from contextlib import closing, suppress
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from router.app import create_app
from router.commands.workers import Workers
from router.errors import ConfigError, StoreError, TutelageError
from router.http.heads import BoundedHeads
from router.meter.board import Board, fold_ended
from router.record.recovery import adopt
from router.record.store import Store
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings
from router.settings.model import Settings
from router.settings.rules import why_not_several

_log = logging.getLogger("tutelage")

_BACKLOG = 2048
_FEWEST_NEW = 20_000
_KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep a connection that nobody uses: whoever lets go first must be
the one that might send the next request over it."""
_SWITCH_S = 0.0005
"""How long a request may wait for the thread that writes records; Python's own 5 ms are more than
the gateway takes for all the rest."""


def run(config: Path | None, workers: int | None) -> int:
    """Serve until SIGTERM or Ctrl-C, drain, and return 0. Raises TutelageError.

    ``config``: None for the one in the folder that it runs in; ``workers``: None for the
    configuration's number.
    """
    found = find_config(config)
    if found is None:
        raise ConfigError(
            f"No configuration given and there is no {DEFAULT_CONFIG} here: name one with --config."
        )
    settings = load_settings(found, os.environ)
    count = settings.server.workers if workers is None else workers
    refusal = why_not_several(settings.model_dump(mode="json")) if count > 1 else None
    if count < 1 or refusal is not None:
        raise ConfigError(f"--workers {count}: {refusal or 'there must be one at least'}.")
    listener = _listen(settings.server.host, settings.server.port)
    store = Store.open(settings.store.url)  # made and brought up to date once, before any worker
    if count == 1:
        _announce(settings, listener)
        _serve(settings, store, listener, found, count_sharers(settings))
        return 0
    store.close()
    _announce(settings, listener)
    with TemporaryDirectory(prefix="tutelage-metrics-", ignore_cleanup_errors=True) as folder:
        shown = Path(folder)
        work = partial(_work, found, count, shown)
        drained = Workers(work, listener, count, partial(fold_ended, shown)).run()
    _take_over(settings)
    if not drained:
        raise TutelageError("A worker didn't drain in time and was ended; its journal is kept.")
    return 0


def _take_over(settings: Settings) -> None:
    """Into the store what a killed worker had settled and no other came to take over; where the
    store fails that is left for the next start."""
    lost: list[int] = []
    with suppress(StoreError), closing(Store.open(settings.store.url)) as store:
        adopt(settings.store.beside("journal"), store, count_lost=lost.append)
    if sum(lost):
        _log.error("%d records of a killed worker could not be written.", sum(lost))


def count_sharers(settings: Settings) -> int:
    """How many gateways serve from the store, where this process has no workers beside it.

    A PostgreSQL store with limits in Redis is what replicas share, so there may be others; not
    where something is configured that one alone can keep.
    """
    alone = settings.store.file is not None or settings.coordination.url == "memory://"
    if alone or why_not_several(settings.model_dump(mode="json")) is not None:
        return 1
    return 2


def _work(config: Path, workers: int, shown: Path, listener: socket.socket) -> None:
    """One of several workers, in a process of its own."""
    # Ctrl-C reaches every process of the terminal: the parent tells the workers when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_outlive_nobody, daemon=True).start()
    try:
        settings = load_settings(config, os.environ)
        board = Board(shown)
        _serve(settings, Store.open(settings.store.url), listener, config, workers, board)
    except TutelageError as error:
        print(f"tutelage: {error}", file=sys.stderr)
        sys.exit(1)


def _outlive_nobody() -> None:
    """End when the parent was killed: nobody else would ever end this worker."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _serve(
    settings: Settings,
    store: Store,
    listener: socket.socket,
    config: Path,
    workers: int = 1,
    board: Board | None = None,
) -> None:
    app = create_app(settings, store, config, workers=workers, board=board)
    _prepare_interpreter()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedHeads,
            log_level="warning",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.server.drain_s),
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody asks where a client is
        )
    )
    # Having drained, uvicorn raises the signal that stopped it once more: an end as wished, not a
    # death by that signal.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
        if not server.started:
            raise TutelageError("The gateway could not start; the reason is above.")


def _prepare_interpreter() -> None:
    """For many short requests beside one thread that writes records."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # what is there now stays: no later collection needs to look at it
    gc.set_threshold(_FEWEST_NEW, 10, 10)  # a request's objects go without a collection


def _announce(settings: Settings, listener: socket.socket) -> None:
    host = settings.server.host
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    print(f"tutelage listens on {address}", flush=True)
    print(f"The dashboard is at {address}/ui", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # before the address is told: who comes early waits
    except OSError as error:
        listener.close()
        raise ConfigError(f"Can't listen on {host}:{port}: {error.strerror}.") from None
    return listener

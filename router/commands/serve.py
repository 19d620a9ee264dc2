"""``tutelage serve``: the gateway."""

from __future__ import annotations

import math
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import uvicorn

from router.app import create_app
from router.errors import ConfigError, TutelageError
from router.record.store import Store
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings

_BACKLOG = 2048


def run(config: Path | None, workers: int) -> int:
    """Serve until SIGTERM or Ctrl-C, drain, and return 0. Raises TutelageError.

    ``config``: None for the one in the folder that it runs in.
    """
    if workers != 1:
        raise ConfigError("Several workers need a shared coordination; memory:// allows one.")
    found = find_config(config)
    if found is None:
        raise ConfigError(
            f"No configuration given and there is no {DEFAULT_CONFIG} here: name one with --config."
        )
    settings = load_settings(found, os.environ)
    host, port = settings.server.host, settings.server.port
    listener = _listen(host, port)
    app = create_app(settings, Store.open(settings.store.url), found)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=math.ceil(settings.server.drain_s),
            access_log=False,
        )
    )
    # Having drained, uvicorn raises the signal that stopped it once more: an end as wished, not a
    # death by that signal.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        print(f"tutelage listens on {address}", flush=True)
        print(f"The dashboard is at {address}/ui", flush=True)
        server.run(sockets=[listener])
        if not server.started:
            raise TutelageError("The gateway could not start; the reason is above.")
    return 0


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

"""The guard of tests/conftest.py must be able to say no."""

from __future__ import annotations

import asyncio
import socket

import pytest

# 192.0.2.0/24 is reserved for documentation: nobody answers there.
_ELSEWHERE = ("192.0.2.1", 9)


async def _dial(host: str, port: int) -> None:
    await asyncio.open_connection(host, port)


def _connect() -> None:
    with socket.socket() as opened:
        opened.settimeout(0.1)
        opened.connect(_ELSEWHERE)


def _send() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as opened:
        opened.sendto(b"x", _ELSEWHERE)


def _resolve() -> None:
    socket.getaddrinfo("example.org", 443)


def _dial_from_a_loop() -> None:
    asyncio.run(_dial(*_ELSEWHERE))


@pytest.mark.parametrize("leave", [_connect, _send, _resolve, _dial_from_a_loop])
def test_leaving_the_machine_is_forbidden(leave: object) -> None:
    assert callable(leave)
    with pytest.raises(BaseException, match="tests stay on this machine"):
        leave()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_free(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((host, port), timeout=5) as client:
            assert client.getpeername()[1] == port

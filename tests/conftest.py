"""What holds in every test: nothing reaches beyond this machine, and the same coins fall again."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")

_RESOLVERS = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_SENDERS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOCAL_NAMES = frozenset({"", "localhost", "ip6-localhost"})


class NetworkForbidden(BaseException):
    """A test tried to leave the machine.

    A BaseException, so that code under test which turns connection errors into answers can't
    swallow it.
    """


def is_loopback(host: object) -> bool:
    """True for a name or address that stays on this machine."""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


class NetworkGuard:
    """An audit hook: it sees every socket of the process, whoever opens it, C extensions apart.

    A hook can't be removed once added, so one is added per process and switched on and off.
    """

    def __init__(self) -> None:
        self.active = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.active:
            return
        if event in _RESOLVERS:
            host = arguments[0]
        elif event in _SENDERS:
            opened, address = arguments[0], arguments[1]
            if not isinstance(opened, socket.socket) or not isinstance(address, tuple):
                return  # a Unix socket, or a datagram socket that is connected already
            host = address[0]
        else:
            return
        if not is_loopback(host):
            raise NetworkForbidden(f"tests stay on this machine, but this one reached for {host!r}")


@pytest.fixture(scope="session", autouse=True)
def network_guard() -> Iterator[NetworkGuard]:
    """Forbid every socket to anywhere but loopback while tests run."""
    guard = NetworkGuard()
    sys.addaudithook(guard)
    guard.active = True
    yield guard
    guard.active = False


@pytest.fixture(autouse=True)
def the_same_coins(request: pytest.FixtureRequest) -> None:
    """Interactions get the same names in each run of a test, and who is asked is drawn by name.

    In this process only: a gateway that a test starts as a command draws its own.
    """
    pipeline = sys.modules.get("router.pipeline")
    if pipeline is not None:
        pipeline._ids.seed(request.node.nodeid)

"""Asking an upstream for what costs nothing: counts, and what it keeps of earlier answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from router.upstream.failures import from_exception, from_rejection
from router.upstream.model import UpstreamTarget
from router.wire.calls import write_key

_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """``path``: below ``/v1``; ``query``: as the client sent it; ``body``: None for none."""

    method: str
    path: str
    query: str = ""
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """What came back, in its bytes."""

    raw: bytes
    content_type: str


async def forward(
    session: aiohttp.ClientSession, target: UpstreamTarget, inquiry: Inquiry
) -> Forwarded:
    """One try, since whoever asks can ask again. Raises ``CallError``."""
    url = f"{target.base_url.rstrip('/')}/{inquiry.path}"
    response: aiohttp.ClientResponse | None = None
    try:
        async with asyncio.timeout(target.total_timeout_s):
            response = await session.request(
                inquiry.method,
                f"{url}?{inquiry.query}" if inquiry.query else url,
                data=None if inquiry.body is None else json.dumps(inquiry.body).encode(),
                headers={
                    "Content-Type": "application/json",
                    **inquiry.headers,
                    **write_key(target.dialect, target.api_key),
                },
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=target.connect_timeout_s,
                    sock_read=target.first_byte_timeout_s,
                ),
            )
            raw = await response.content.read(_MOST_BYTES)
            while not response.content.at_eof() and len(raw) < _MOST_BYTES:
                raw += await response.content.read(_MOST_BYTES)
    except (aiohttp.ClientError, OSError) as exc:
        failure = from_exception(exc, target, answered=response is not None)
    else:
        if 200 <= response.status < 300:
            return Forwarded(raw=raw, content_type=response.content_type)
        headers = {key.lower(): value for key, value in response.headers.items()}
        failure = from_rejection(response.status, headers, raw, target)
    finally:
        if response is not None:
            response.close()
    raise failure.error

"""Asking an upstream for what costs nothing: counts, and what it keeps of earlier answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.upstream.connection import Exchange, read_body
from router.upstream.failures import from_exception, from_nonsense, from_rejection
from router.upstream.model import UpstreamTarget
from router.upstream.pool import BadAddress, Pool
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


async def forward(pool: Pool, target: UpstreamTarget, inquiry: Inquiry) -> Forwarded:
    """One try, since whoever asks can ask again. Raises ``CallError``."""
    url = f"{target.base_url.rstrip('/')}/{inquiry.path}"
    answer: Exchange | None = None
    try:
        async with asyncio.timeout(target.total_timeout_s):
            answer = await pool.ask(
                inquiry.method,
                f"{url}?{inquiry.query}" if inquiry.query else url,
                {
                    "User-Agent": "tutelage",
                    "Accept-Encoding": "identity",
                    "Content-Type": "application/json",
                    **inquiry.headers,
                    **write_key(target.dialect, target.api_key),
                },
                None if inquiry.body is None else json.dumps(inquiry.body).encode(),
                connect_s=target.connect_timeout_s,
                silence_s=target.first_byte_timeout_s,
            )
            raw = await read_body(answer, _MOST_BYTES)
    except (OSError, BadAddress) as exc:
        failure = from_exception(exc, target, answered=answer is not None)
    else:
        if 200 <= answer.status < 300 and raw is not None:
            return Forwarded(raw=raw, content_type=answer.content_type)
        if 200 <= answer.status < 300:
            failure = from_nonsense(f"more than {_MOST_BYTES} bytes", target)
        else:
            failure = from_rejection(answer.status, answer.headers, raw, target)
    finally:
        if answer is not None:
            answer.close()
    raise failure.error

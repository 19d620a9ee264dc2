"""Upstreams behind TLS: their certificate is checked, their connections are kept."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from router.upstream.connection import read_body
from router.upstream.pool import Pool

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate")

LONG = b"x" * 300_000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost that nobody but its owner vouches for, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-out", str(made), "-keyout", str(key)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return made, key


@asynccontextmanager
async def serve(certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application(client_max_size=1 << 20)
    app.router.add_post("/v1/echo", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://localhost:{runner.addresses[0][1]}/v1/echo"
    finally:
        await runner.cleanup()


async def ask(pool: Pool, url: str) -> bytes | None:
    answer = await pool.ask("POST", url, {}, LONG, connect_s=5, silence_s=5)
    try:
        return await read_body(answer, 1 << 20)
    finally:
        answer.close()


async def test_whom_the_system_trusts_is_asked(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    pool = Pool()
    async with serve(certificate) as url:
        assert [await ask(pool, url), await ask(pool, url)] == [LONG, LONG]
        await pool.close()


async def test_nobody_else_is(certificate: tuple[Path, Path]) -> None:
    pool = Pool()
    async with serve(certificate) as url:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(pool, url)
        await pool.close()

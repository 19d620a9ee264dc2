"""The first to see a request: who asks for an answer gets it here, past the framework's layers."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from router.admission import Admission, Overloaded
from router.deps import Deps
from router.errors import BadRequest
from router.http.chat import PARSERS, answer
from router.http.failing import write_failure
from router.http.heads import is_head_too_large, refuse_head

_KEPT = ("GET", "/v1/chat/completions")
"""At an address of answers, and none: the completions that a teacher's server keeps."""


class Gateway(FastAPI):
    """The application. Requests for answers don't pass its middleware and routes, which cost as
    much as all that the gateway itself does for one; all others do.

    What is posted below ``/v1`` is let in by ``Admission``: a place is held until the answer, or
    the last part of its stream, is sent.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_head_too_large(scope):
            await refuse_head(scope, receive, send)
        elif scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await super().__call__(scope, receive, send)
        elif scope["method"] == "POST":
            await self._let_in(scope, receive, send)
        elif scope["path"] in PARSERS and (scope["method"], scope["path"]) != _KEPT:
            sentence = f"Method Not Allowed: {scope['method']} {scope['path']}"
            refused = BadRequest(sentence, status=405, headers={"allow": "POST"})
            await write_failure(scope["path"], refused)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        deps: Deps = self.state.deps
        admission: Admission = deps.admission
        try:
            await admission.enter()
        except Overloaded as error:
            deps.metrics.add_refused()
            await write_failure(scope["path"], error)(scope, receive, _closing(send))
            return
        try:
            parse = PARSERS.get(scope["path"])
            if parse is None:
                await super().__call__(scope, receive, send)
            else:
                await answer(deps, parse, scope, receive, send)
        finally:
            admission.leave()


def _closing(send: Send) -> Send:
    """Ends the connection with the answer: the request's body was never read."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return send_and_close

"""Traces as a collector gets them: a real receiver, the real exporter, the real gateway."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router.testing import ErrorAnswer, FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway
from tests.integration.gateway.test_student import SHIPPED, promote, workload

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FROM_CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "shop=1"}


@dataclass
class Collector:
    """What an OTLP receiver was sent; ``headers``: of each post."""

    url: str = ""
    headers: list[Any] = field(default_factory=list)
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    @property
    def spans(self) -> dict[str, Span]:
        """By name; several of one name are numbered."""
        found: dict[str, Span] = {}
        for request in self.requests:
            for of_resource in request.resource_spans:
                for scope in of_resource.scope_spans:
                    for span in scope.spans:
                        name, n = span.name, 2
                        while name in found:
                            name, n = f"{span.name} {n}", n + 1
                        found[name] = span
        return found


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    seen = Collector()

    async def take(request: web.Request) -> web.Response:
        seen.headers.append(dict(request.headers))
        seen.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(body=ExportTraceServiceResponse().SerializeToString())

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    seen.url = f"http://{host}:{port}"
    try:
        yield seen
    finally:
        await runner.cleanup()


def attributes(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = (
            [one.string_value for one in value.values] if kind == "array_value" else value
        )
    return found


async def ask(base: str, headers: dict[str, str] | None = None, **more: Any) -> str:
    completion = await client(base).chat.completions.create(
        model="auto", messages=MESSAGES, extra_headers=headers or {}, **more
    )
    return str(completion.choices[0].message.content)


async def test_a_request_is_a_trace_with_the_callers_as_its_parent(tmp_path: Path) -> None:
    began = time.time()
    async with collector() as seen, FakeUpstream("card arrival") as up:
        telemetry = {"otlp_endpoint": seen.url, "headers_env": "SHOP_KEY", "service_name": "desk"}
        async with gateway(tmp_path, up.base_url, telemetry=telemetry) as base:
            await ask(base, FROM_CALLER, temperature=0.5, max_tokens=9)
    spans = seen.spans
    assert set(spans) == {"POST /v1/chat/completions", "ask teacher", "chat big-70b"}
    request, asked, call = spans.values()
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert (asked.parent_span_id, call.parent_span_id) == (request.span_id, asked.span_id)
    assert [span.kind for span in spans.values()] == [2, 1, 3]  # server, internal, client
    for span in spans.values():
        assert began * 1e9 - 1e6 <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= time.time() * 1e9
    said = attributes(call)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "openai"
    assert said["gen_ai.request.model"] == said["gen_ai.response.model"] == "big-70b"
    assert (said["gen_ai.request.temperature"], said["gen_ai.request.max_tokens"]) == (0.5, 9)
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (12, 3)
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["server.address"] == "127.0.0.1"
    assert said["tutelage.cost_usd"] == pytest.approx(60e-6)
    told = attributes(request)
    assert told["tutelage.tier"] == "teacher"
    assert told["tutelage.reason"] == "policy_teacher"
    assert told["tutelage.id"].startswith("int_")
    of_resource = seen.requests[0].resource_spans[0].resource
    assert {pair.key: pair.value.string_value for pair in of_resource.attributes}[
        "service.name"
    ] == "desk"
    # What the upstream was told is the span of its own call.
    arrived = up.requests[-1].headers
    assert arrived["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert arrived["tracestate"] == "shop=1"


async def test_headers_for_the_collector_come_from_the_environment(tmp_path: Path) -> None:
    async with collector() as seen, FakeUpstream("x") as up:
        telemetry = {"otlp_endpoint": seen.url, "headers_env": "SHOP_KEY"}
        with pytest.MonkeyPatch.context() as patch:
            secrets = {"SHOP_KEY": "x-team=blue, api-key=s3=cret"}
            patch.setattr("tests.integration.gateway.test_gateway.SECRETS", secrets)
            async with gateway(tmp_path, up.base_url, telemetry=telemetry) as base:
                await ask(base)
    assert (seen.headers[0]["x-team"], seen.headers[0]["api-key"]) == ("blue", "s3=cret")


async def test_no_text_leaves_unless_switched_on(tmp_path: Path) -> None:
    secret = [{"role": "user", "content": "Where is my card? I am joe@example.com"}]

    (tmp_path / "off").mkdir()
    (tmp_path / "on").mkdir()

    async def trace(folder: Path, **more: Any) -> Collector:
        async with collector() as seen, FakeUpstream("card arrival") as up:
            telemetry = {"otlp_endpoint": seen.url, **more}
            data = {"redact": ["email"]}
            async with gateway(folder, up.base_url, telemetry=telemetry, data=data) as base:
                await client(base).chat.completions.create(model="auto", messages=secret)  # type: ignore[arg-type]
                await client(base).chat.completions.create(
                    model="auto",
                    messages=secret,  # type: ignore[arg-type]
                    extra_body={"tutelage": {"store": False}},
                )
        return seen

    quiet = await trace(tmp_path / "off")
    assert len(quiet.spans) == 6
    for request in quiet.requests:
        assert "card" not in str(request)
    told = (await trace(tmp_path / "on", content=True)).spans
    said = attributes(told["POST /v1/chat/completions"])
    (message,) = json.loads(said["gen_ai.input.messages"])
    assert message["role"] == "user"
    assert message["parts"][0]["content"].startswith("Where is my card?")
    assert "joe@example.com" not in said["gen_ai.input.messages"]
    (answer,) = json.loads(said["gen_ai.output.messages"])
    assert answer["parts"] == [{"type": "text", "content": "card arrival"}]
    unstored = attributes(told["POST /v1/chat/completions 2"])
    assert "gen_ai.input.messages" not in unstored
    assert "gen_ai.output.messages" not in unstored


async def test_each_ask_is_a_span_also_an_audit_and_each_try(tmp_path: Path) -> None:
    promote(tmp_path)
    async with collector() as seen, FakeUpstream("parcel") as up:
        more = {
            "telemetry": {"otlp_endpoint": seen.url},
            **workload(policy="student", audit={"max_share": 1.0}),
        }
        async with gateway(tmp_path, up.base_url, **more) as base:
            completion = await client(base).chat.completions.create(
                model="auto",
                messages=[
                    {"role": "system", "content": "Sort."},
                    {"role": "user", "content": SHIPPED},
                ],
                extra_body={"tutelage": {"workload": "shop"}},
            )
            assert completion.choices[0].message.content == "parcel"
    spans = seen.spans
    assert set(spans) == {
        "POST /v1/chat/completions",
        "ask student",
        "ask audit",
        "chat big-70b",
    }
    request, student = spans["POST /v1/chat/completions"], spans["ask student"]
    assert student.parent_span_id == spans["ask audit"].parent_span_id == request.span_id
    assert attributes(student)["tutelage.served"] is True
    assert 0 < attributes(student)["tutelage.confidence"] <= 1
    assert attributes(request)["tutelage.agreed"] is True
    assert attributes(spans["ask audit"])["tutelage.propensity"] == 1.0
    # The audit came after the answer, and its upstream call belongs to the same trace.
    assert spans["ask audit"].start_time_unix_nano >= request.end_time_unix_nano
    assert spans["chat big-70b"].span_id.hex() in up.requests[-1].headers["traceparent"]


async def test_a_failed_try_is_told_apart_from_the_one_that_answered(tmp_path: Path) -> None:
    fault = ErrorAnswer(status=503, headers={"retry-after": "0"})
    async with collector() as seen, FakeUpstream("x", faults=[fault]) as up:
        models = {"teacher": {"upstream": up.base_url, "model": "big-70b", "retries": 1}}
        telemetry = {"otlp_endpoint": seen.url}
        async with gateway(tmp_path, up.base_url, models=models, telemetry=telemetry) as base:
            await ask(base)
    first, second = seen.spans["chat big-70b"], seen.spans["chat big-70b 2"]
    assert first.status.code == Status.STATUS_CODE_ERROR
    assert attributes(first)["error.type"] == "503"
    assert second.status.code == Status.STATUS_CODE_UNSET
    assert seen.spans["ask teacher"].status.code == Status.STATUS_CODE_UNSET
    assert attributes(seen.spans["ask teacher"])["tutelage.tries"] == 2
    sent = [request.headers["traceparent"].split("-")[2] for request in up.requests]
    assert sent == [first.span_id.hex(), second.span_id.hex()]


async def test_a_stream_says_when_its_first_chunk_came(tmp_path: Path) -> None:
    async with collector() as seen, FakeUpstream("card arrival") as up:
        telemetry = {"otlp_endpoint": seen.url}
        async with gateway(tmp_path, up.base_url, telemetry=telemetry) as base:
            stream = await client(base).chat.completions.create(
                model="auto", messages=MESSAGES, stream=True
            )
            assert [chunk async for chunk in stream]
    said = attributes(seen.spans["chat big-70b"])
    assert said["gen_ai.request.stream"] is True
    assert 0 < said["gen_ai.response.time_to_first_chunk"] < 10


async def test_the_callers_no_to_sampling_is_passed_on_and_kept(tmp_path: Path) -> None:
    async with collector() as seen, FakeUpstream("x") as up:
        telemetry = {"otlp_endpoint": seen.url}
        async with gateway(tmp_path, up.base_url, telemetry=telemetry) as base:
            await ask(base, {"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert seen.requests == []
    assert up.requests[-1].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert up.requests[-1].headers["traceparent"].endswith("-00")


async def test_a_collector_that_is_away_costs_no_answer(tmp_path: Path) -> None:
    async with FakeUpstream("x") as up:
        telemetry = {"otlp_endpoint": "http://127.0.0.1:9"}
        async with gateway(tmp_path, up.base_url, telemetry=telemetry) as base:
            began = time.perf_counter()
            assert await ask(base) == "x"
            assert time.perf_counter() - began < 2


async def test_off_there_is_no_trace_of_it(tmp_path: Path) -> None:
    async with FakeUpstream("x") as up, gateway(tmp_path, up.base_url) as base:
        await ask(base, FROM_CALLER)
    assert "traceparent" not in up.requests[-1].headers

"""Where traces of interactions go."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from router.settings.values import Section, Text, refuse_bool


def _check_endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ValueError("must be a URL such as http://127.0.0.1:4318")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a plain URL: secrets belong into the variable of headers_env")
    if parts.path.rstrip("/").endswith("/v1/traces"):
        raise ValueError("must end before /v1/traces, which is added")
    return url.rstrip("/")


class TelemetrySettings(Section):
    """Traces over OTLP (HTTP, protobuf).

    ``otlp_endpoint``: the collector's address, before ``/v1/traces``; ``headers_env`` names the
    environment variable that holds headers for it, as ``name=value,name=value``. ``sample``: the
    share of requests that are traced where their caller hasn't decided. ``content``: also the
    redacted texts of prompts and answers.
    """

    otlp_endpoint: Annotated[str, AfterValidator(_check_endpoint)]
    headers_env: Text | None = None
    service_name: Text = "tutelage"
    sample: Annotated[float, BeforeValidator(refuse_bool), Field(ge=0, le=1)] = 1.0
    content: bool = False

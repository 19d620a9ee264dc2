"""What a key with scopes may use."""

from __future__ import annotations

import pytest

from router.errors import Forbidden, NotFound
from router.scopes import check_endpoint, check_model, check_workload

SCOPES = ("endpoint:chat/completions", "endpoint:mod*", "model:auto", "model:fast-*", "workload:w1")


@pytest.mark.parametrize(
    ("path", "let_in"),
    [
        ("/v1/chat/completions", True),
        ("/v1/chat/completions/chatcmpl-1/messages", True),
        ("/v1/models", True),
        ("/v1/models/a/b", True),
        ("/v1/completions", False),
        ("/v1/chat", False),
        ("/metrics", False),
    ],
)
def test_an_endpoint_covers_what_lies_below_it(path: str, let_in: bool) -> None:
    if let_in:
        check_endpoint(SCOPES, path)
    else:
        with pytest.raises(Forbidden, match="no scope for the endpoint"):
            check_endpoint(SCOPES, path)
    check_endpoint(("model:auto",), path)  # of endpoints none is named


def test_models_and_workloads_are_globs_over_names() -> None:
    check_model(SCOPES, "fast-1")
    with pytest.raises(NotFound, match="does not exist or you do not have access"):
        check_model(SCOPES, "teacher")
    check_workload(SCOPES, "w1@acme", "acme")
    with pytest.raises(Forbidden, match="workload w2"):
        check_workload(SCOPES, "w2@acme", "acme")
    check_workload((), "anything", "")

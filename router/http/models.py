"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.auth import authenticate
from router.deps import Deps
from router.errors import NotFound
from router.scopes import allows, check_model


async def list_models(request: Request) -> Response:
    """Every name that ``model`` may have in a request of this caller."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers, request.url.path)
    names = [name for name in _names(deps) if allows(caller.scopes, "model", name)]
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
    data = [_describe(name) for name in names]
    return JSONResponse({"object": "list", "data": data, "has_more": False, **ends})


async def show_model(request: Request) -> Response:
    """One of them; 404 ``model_not_found``."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers, request.url.path)
    name = request.path_params["model"]
    check_model(caller.scopes, name)
    if name not in _names(deps):
        raise NotFound(
            f"The model '{name}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )
    return JSONResponse(_describe(name))


def _names(deps: Deps) -> list[str]:
    models = deps.settings.models
    names = ["auto"] if deps.settings.teacher_key is not None else []
    return [*names, *models, *(alias for model in models.values() for alias in model.aliases)]


def _describe(name: str) -> dict[str, Any]:
    """A model as OpenAI's clients and as Anthropic's expect it."""
    openai = {"id": name, "object": "model", "created": 0, "owned_by": "tutelage"}
    anthropic = {"type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return openai | anthropic

"""``tutelage distill train`` by the recipes that need a teacher's log-probabilities. The teacher is
a stand-in that scores prompts as vLLM does; ``tests/integration/vllm`` asks a real one."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.integration.generative.fake_vllm import FakeVllm
from tests.integration.training.test_train_command import prepare, train, tutelage
from tests.training_environment import read_losses

pytestmark = pytest.mark.long

WORDS = ["<pad>", "</s>", "<a>", "<u>", "<unk>", *string.ascii_lowercase, " "]
"""As ``tests.train.recipes.tiny_base`` numbers them."""


@pytest.fixture(autouse=True)
def scorer_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORER_KEY", "sk-scorer")


class ScoringVllm(FakeVllm):
    """Finds each token of a prompt likely; ``words``: how it writes token ids."""

    def __init__(self, words: list[str]) -> None:
        super().__init__()
        self.words = words
        self.scored: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        app.router.add_post("/detokenize", self._write)
        app.router.add_post("/v1/completions", self._score)

    async def _write(self, request: web.Request) -> web.StreamResponse:
        tokens = (await request.json())["tokens"]
        known = [self.words[token] for token in tokens if token < len(self.words)]
        return web.json_response({"prompt": "".join(known)})

    async def _score(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.scored.append(body)
        self.keys.add(request.headers.get("authorization"))
        places = [{str(token): {"logprob": -0.1}} for token in body["prompt"]]
        return web.json_response({"choices": [{"prompt_logprobs": [None, *places[1:]]}]})


async def prepare_scored(folder: Path, server: ScoringVllm) -> tuple[Path, str]:
    """A configuration in which ``scorer`` is at the server, and one that may teach nobody."""
    config, dataset = await prepare(folder, server)
    given = yaml.safe_load(config.read_text())
    scorer = {"upstream": server.base_url, "model": "big", "api_key_env": "SCORER_KEY"}
    given["models"]["scorer"] = scorer | {"distillation": "allowed"}
    given["models"]["secretive"] = scorer | {"distillation": "denied"}
    config.write_text(yaml.safe_dump(given))
    return config, dataset


def read_all(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("recipe", ["standard", "on-policy"])
async def test_a_scoring_teacher_is_learned_from(
    recipe: str,
    tmp_path: Path,
    base: Path,
) -> None:
    async with ScoringVllm(WORDS) as server:
        config, dataset = await prepare_scored(tmp_path, server)
        words = train(config, base, dataset, "--no-gate", "--recipe", recipe, "--scorer", "scorer")
        code, out, err = await tutelage(*words)
        assert code == 0, err
    said = json.loads(out)
    assert (said["teacher_tier"], said["scorer"]) == ("top-k", "scorer big")
    assert server.keys == {"Bearer sk-scorer"}
    # To see that it scores, then 45 steps of eight, the last of each pass over the 180 of four.
    assert 44 * 8 < len(server.scored) <= 45 * 8 + 1
    assert {body["prompt_logprobs"] for body in server.scored} == {20}
    losses = read_losses(Path(said["curve"]))
    assert losses[-1] < losses[0]
    assert b"sk-scorer" not in read_all(tmp_path / "t-training")


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (WORDS, ["--recipe", "standard"], "needs --scorer"),
        (WORDS, ["--scorer", "scorer"], "learns from text"),
        (WORDS, ["--new-tokens", "9"], "sample no drafts"),
        (WORDS, ["--scorer-top", "9"], "is for a scorer"),
        (
            WORDS,
            ["--recipe", "standard", "--scorer", "nobody"],
            "with an upstream are scorer, secretive, student, teacher",
        ),
        (WORDS, ["--recipe", "standard", "--scorer", "secretive"], "distillation: denied"),
        (WORDS[::-1], ["--recipe", "standard", "--scorer", "scorer"], "different vocabularies"),
        (WORDS[:-1], ["--recipe", "standard", "--scorer", "scorer"], "different vocabularies"),
    ],
    ids=[
        "none",
        "unused",
        "undrafted",
        "no top",
        "unknown",
        "licence",
        "other words",
        "fewer words",
    ],
)
async def test_a_scorer_that_cannot_teach_is_told_in_a_sentence(
    words: list[str],
    more: list[str],
    said: str,
    tmp_path: Path,
    base: Path,
) -> None:
    async with ScoringVllm(words) as server:
        config, dataset = await prepare_scored(tmp_path, server)
        code, _, err = await tutelage(*train(config, base, dataset, "--no-gate", *more))
    assert code in (1, 2)
    assert said in err
    assert "Traceback" not in err
    assert server.scored == []


async def test_a_scorers_missing_key_is_named(
    tmp_path: Path,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SCORER_KEY", raising=False)
    async with ScoringVllm(WORDS) as server:
        config, dataset = await prepare_scored(tmp_path, server)
        words = ["--no-gate", "--recipe", "standard", "--scorer", "scorer"]
        code, _, err = await tutelage(*train(config, base, dataset, *words))
    assert code == 1
    assert "set SCORER_KEY" in err

"""A real vLLM as the teacher that scores, for the recipes ``standard`` and ``on-policy``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from benchmarks.vllm.environment import locate
from distill.demo.shop import read_shop
from router.record.store import Store
from tests.integration.training.test_train_command import tutelage
from tests.training_environment import read_losses, training_python

pytestmark = pytest.mark.long

ROWS = 24
SIZES = ["--rank", "4", "--batch", "4", "--epochs", "1", "--threads", "2"]


def write_log(path: Path) -> Path:
    """The first messages of the built-in shop and their answers, as an application logs them."""
    with path.open("w") as file:
        for row, _ in zip(read_shop(), range(ROWS), strict=False):
            said = {"role": "assistant", "content": row.teacher.answer.content}
            answer = {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
            asked = {"model": "big", "messages": row.body["messages"]}
            file.write(json.dumps({"request": asked, "response": answer}) + "\n")
    return path


def configure(folder: Path, scorer_url: str) -> Path:
    server = {"upstream": scorer_url, "model": "small", "timeout_s": {"total": 240}}
    config = folder / "tutelage.yaml"
    given = {
        "store": {"url": f"sqlite:///{folder}/t.db"},
        "models": {
            "teacher": {"upstream": "http://127.0.0.1:9/v1", "model": "big"}
            | {"distillation": "allowed"},
            "student": {"kind": "openai", **server},
            "scorer": {**server, "distillation": "allowed"},
        },
        "workloads": [{"name": "shop", "match": "*", "compare": "label"}],
    }
    config.write_text(yaml.safe_dump(given))
    Store.open(given["store"]["url"]).close()
    return config


async def test_a_base_that_scores_itself_has_nothing_to_learn(
    tmp_path: Path, scorer_url: str
) -> None:
    """Student and teacher are the same weights, in two programs: at the first step they differ by
    no more than arithmetic in bfloat16 does, which holds tokens, places and tails together."""
    built = locate()
    assert built is not None
    config = configure(tmp_path, scorer_url)
    log = write_log(tmp_path / "log.jsonl")
    brought = ["data", "import", log, "--workload", "shop", "--teacher", "teacher"]
    code, _, err = await tutelage(*brought, "--config", config)
    assert code == 0, err
    for recipe in ("standard", "on-policy"):
        words = ["distill", "train", "shop", "--recipe", recipe, "--scorer", "scorer", "--no-gate"]
        if recipe == "on-policy":
            words += ["--new-tokens", "12"]
        place = ["--base", built.base_model, "--python", training_python(), "--config", config]
        code, out, err = await tutelage(*words, *SIZES, *place, "--json")
        assert code == 0, err
        said = json.loads(out)
        assert (said["teacher_tier"], said["scorer"]) == ("top-k", "scorer small")
        first = read_losses(Path(said["curve"]))[0]
        assert 0.0 <= first < 0.05, (recipe, first)

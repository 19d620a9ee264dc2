"""The same training job in this process, by a command and on a Ray cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from router.release import load_release
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Said, Shop

MESSAGES = make_messages(130, seed=1)
HERE = {"kind": "process", "threads": 1}
BY_COMMAND = {"kind": "command", "command": [sys.executable, "-m", "{module}", "{folder}"]}
ROOT = Path(__file__).parents[3]

# What `tutelage distill run` does, in an environment where tutelage isn't installed.
CYCLE = """
import sys
from pathlib import Path
from distill.commands.common import open_workplace
from distill.cycle import run_cycle
with open_workplace(Path(sys.argv[1])) as place:
    outcome = run_cycle(place.learner(seed=0), "support")
    print(outcome.result, outcome.release.digest)
"""


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[[str, Any], Shop]:
    """Shops with the same answers."""
    now = time.time()

    def make(name: str, launcher: Any) -> Shop:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        shop = Shop(folder=folder, settings={"learning": {"launcher": launcher}})
        if not (folder / "t.db").exists():
            shop.answer(MESSAGES, created_at=now)
        return shop

    return make


def learn(shop: Shop) -> str:
    """The digest of the release of a cycle that puts one in force."""
    said = shop.run("distill", "run", "--json")
    assert said.code == 0, said
    (line,) = said.lines
    assert line["result"] == "promoted"
    digest: str = line["release"]
    return digest


def jobs_of(shop: Shop) -> list[Path]:
    return [path for path in (shop.folder / "t-jobs").rglob("*") if path.is_file()]


def test_a_command_gives_the_same_release_and_leaves_no_examples(
    make_shop: Callable[[str, Any], Shop],
) -> None:
    digest = learn(make_shop("here", HERE))
    by_command = make_shop("there", BY_COMMAND)
    assert learn(by_command) == digest
    store = by_command.open()
    (release,) = store.releases()
    store.close()
    load_release(Path(release.path))
    texts = [path.read_text() for path in jobs_of(by_command)]
    assert {path.name for path in jobs_of(by_command)} == {"command.log", "said.jsonl"}
    assert not any(MESSAGES[0][0] in text for text in texts)


def test_what_a_killed_cycle_had_trained_is_taken_up(
    make_shop: Callable[[str, Any], Shop],
) -> None:
    """The command did its job, and the cycle was killed before it came to a release: the same job
    has its result already, so the command, which would fail now, isn't run."""
    shop = make_shop("there", BY_COMMAND)
    digest = learn(shop)
    (said,) = [path for path in jobs_of(shop) if path.name == "said.jsonl"]
    other = make_shop("again", {"kind": "command", "command": ["false", "{folder}"]})
    (other.folder / "t.db").write_bytes((shop.folder / "t.db").read_bytes())
    assert other.run("distill", "run").code == 1  # and what it is called is known now
    (log,) = [path for path in jobs_of(other) if path.name == "command.log"]
    assert log.parent.name == said.parent.name
    (log.parent / "said.jsonl").write_bytes(said.read_bytes())
    assert other.run("distill", "run", "--json").lines[0]["release"] == digest


@pytest.mark.parametrize(
    "launcher, why",
    [
        (
            {"kind": "command", "command": ["no-such-command", "{folder}"]},
            "'no-such-command', which isn't found",
        ),
        (
            {"kind": "command", "command": ["true", "{folder}"]},
            "true ended well, but the job left nothing in",
        ),
        (
            {"kind": "command", "command": [sys.executable, "-c", "exit('no quota')", "{folder}"]},
            "without a result: no quota; all it said is in",
        ),
        ({"kind": "ray"}, "isn't installed here: pip install 'tutelage[ray]'"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    make_shop: Callable[[str, Any], Shop], launcher: Any, why: str
) -> None:
    said: Said = make_shop("shop", launcher).run("distill", "run")
    assert why in said.refusal


@cache
def ray_python() -> Path | None:
    """Its interpreter; None where the environment can't be built."""
    built = subprocess.run(
        ["sh", "tests/setup-ray.sh"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return Path(built.stdout.strip()) / "bin/python" if built.returncode == 0 else None


@pytest.mark.long
def test_a_local_ray_cluster_gives_the_same_release(
    make_shop: Callable[[str, Any], Shop],
) -> None:
    python = ray_python()
    if python is None:
        pytest.skip("the environment with Ray can't be built: it takes a package index")
    digest = learn(make_shop("here", HERE))
    shop = make_shop("ray", {"kind": "ray"})
    done = subprocess.run(
        [python, "-c", CYCLE, shop.config],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["promoted", digest]
    store = shop.open()
    (cycle,) = store.cycles(9)
    store.close()
    assert json.dumps(cycle.detail)  # nothing of Ray is in it
    assert [step["name"] for step in cycle.detail["steps"]][1] == "training"

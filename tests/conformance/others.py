"""Other people's tests: where they come from, and how they are run against an address."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import openai

CACHE = Path(".cache/conformance").resolve()
COMPATCANARY = "compatcanary@0.2.2"
PROFILES = ("chat", "modern")
_SUITES = (
    "chat/test_completions.py",
    "chat/completions",
    "test_completions.py",
    "test_embeddings.py",
    "test_models.py",
    "test_responses.py",
    "responses",
)
_NAMED = re.compile(r'model(?:s\.\w+\(|=)\s*"([^"]+)"')
_IN_MODELS = re.compile(r'"([^"]+)",\n\s+\)')


def fetch_openai() -> Path:
    """The source distribution of the installed client, which carries its tests."""
    name = f"openai-{openai.__version__}"
    folder = CACHE / name
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = ("-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "openai")
        where = ("--no-build-isolation", "-d", str(CACHE), f"openai=={openai.__version__}")
        subprocess.run([sys.executable, *pip, *where], check=True)
        with tarfile.open(CACHE / f"{name}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    return folder


def models_in(folder: Path) -> set[str]:
    """Every model that the tests ask for."""
    names: set[str] = set()
    for suite in _SUITES:
        path = folder / "tests/api_resources" / suite
        for file in [path] if path.is_file() else path.glob("test_*.py"):
            text = file.read_text()
            names |= set(_NAMED.findall(text))
            if file.name == "test_models.py":
                names |= set(_IN_MODELS.findall(text))
    return names


async def run_openai(folder: Path, base_url: str) -> dict[str, str | None]:
    """By test, how it failed; None where it passed. What was skipped counts as failed."""
    report = CACHE / "openai.xml"
    suites = [f"tests/api_resources/{suite}" for suite in _SUITES]
    options = ("-q", "-o", "addopts=", "-p", "no:cacheprovider", f"--junitxml={report}")
    await _run(
        *(sys.executable, "-m", "pytest", *options, *suites),
        cwd=folder,
        env={"TEST_API_BASE_URL": base_url, "PYTHONPATH": str(folder)},
        codes=(0, 1),
    )
    found: dict[str, str | None] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname", "").removeprefix("tests.api_resources.")
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        said = bad[0].get("message") or bad[0].tag if bad else None
        found[f"openai/{file}.{case.get('name')}"] = said if said is None else said[:200]
    return found


async def run_compatcanary(profile: str, base_url: str, model: str) -> dict[str, str | None]:
    """By probe, how it failed; None where it passed. A warning counts as failed."""
    report = CACHE / f"compatcanary-{profile}.json"
    await _run(
        *("npx", "--yes", COMPATCANARY, "scan", "--base-url", base_url, "--model", model),
        *("--profile", profile, "--format", "json", "--output", str(report), "--fail-on", "never"),
        env={"npm_config_cache": str(CACHE / "npm"), "OPENAI_API_KEY": "none"},
    )
    return {
        f"compatcanary/{profile}/{one['id']}": None if one["status"] == "pass" else one["summary"]
        for one in json.loads(report.read_text())["results"]
    }


async def _run(
    *command: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    codes: tuple[int, ...] = (0,),
) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode not in codes:
        said = output.decode(errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(command[:4])} ended with {process.returncode}:\n{said}")

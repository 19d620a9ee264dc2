"""vLLM's command line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from router.cli import main

CONFIG = """
models:
  teacher: {upstream: 'http://127.0.0.1:9/v1', model: big}
  student: {kind: openai, upstream: 'http://127.0.0.1:8123/v1', model: small}
"""


def test_on_the_cpu_it_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["student", "serve", str(tmp_path), "--device", "cpu", "--python", "/v/bin/python"]
    assert main([*command, "--print", "--more=--seed 7"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1",
        "VLLM_TARGET_DEVICE=cpu",
        "VLLM_CPU_KVCACHE_SPACE=1",
        "HF_HUB_OFFLINE=1",
    } <= set(words)
    start = words.index("/v/bin/python")
    assert words[start : start + 5] == [
        *("/v/bin/python", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(tmp_path)),
    ]
    assert {"--enforce-eager", "--enable-lora"} <= set(words)
    assert words[-2:] == ["--seed", "7"]


def test_without_adapters_it_lends_none_and_tells_as_many_tokens_as_vllm_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["student", "serve", str(tmp_path), "--adapters", "0", "--print"]) == 0
    told = capsys.readouterr().out
    assert "lora" not in told.replace("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "")
    assert "logprobs" not in told


def test_name_and_address_are_those_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG)
    command = ["student", "serve", "org/small", "--device", "gpu", "--config", str(config)]
    assert main([*command, "--print"]) == 0
    line = capsys.readouterr().out
    assert "--served-model-name small" in line
    assert "--port 8123" in line
    assert "HF_HUB_OFFLINE" not in line  # an id is fetched
    assert "cpu" not in line.lower().replace("--max-cpu-loras", "")


def test_a_python_without_vllm_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["student", "serve", "x", "--python", str(tmp_path / "none")]) == 1
    assert "name its Python with --python" in capsys.readouterr().err

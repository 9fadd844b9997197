"""What a head sees of many chains, on disk as it comes: larger than the memory, and kept where work is broken off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mch_runtime.atomic import write_error
from mch_runtime.errors import DataError
from mch_runtime.fitting.seen import Labelled, Seen, flat
from mch_runtime.head.fit import TraceSet
from mch_runtime.statistics import FEATURE_NAMES


class Store:
    """NAME.hidden, float16, and NAME.features, float32: the chains of one set, one behind the other."""

    def __init__(self, path: Path, *, embedding_length: int) -> None:
        """path: without a suffix."""
        self._files = (path.with_suffix(".hidden"), path.with_suffix(".features"))
        self._widths = (embedding_length, len(FEATURE_NAMES))
        self._row_bytes = (2 * embedding_length, 4 * len(FEATURE_NAMES))

    def cut(self, tokens: int) -> None:
        """Keep the first ``tokens`` tokens: what came behind them was broken off. Raises DataError if there are fewer."""
        for path, row in zip(self._files, self._row_bytes, strict=True):
            try:
                path.touch()
                if path.stat().st_size < tokens * row:
                    raise DataError(
                        f"{path} is damaged: it is too short", hint="begin anew, in another folder"
                    )
                os.truncate(path, tokens * row)
            except OSError as error:
                raise write_error(error, path) from error

    def append(self, chains: Sequence[Seen]) -> None:
        """On the disk before this returns."""
        hidden, features = self._files
        _append(hidden, [chain.hidden.tobytes() for chain in chains])
        _append(features, [chain.features.tobytes() for chain in chains])

    def traces(self, chains: Sequence[Labelled]) -> TraceSet:
        """All chains, in the order in which they came; the states are mapped, not loaded."""
        tokens = sum(chain.tokens for chain in chains)
        hidden, features = (
            np.memmap(path, dtype=kind, mode="r", shape=(tokens, width))
            for path, kind, width in zip(self._files, (np.float16, np.float32), self._widths, strict=True)
        )
        return TraceSet(hidden=hidden, features=features, **flat(chains))


def _append(path: Path, parts: Sequence[bytes]) -> None:
    try:
        with path.open("ab") as file:
            file.writelines(parts)
            file.flush()
            os.fdatasync(file.fileno())
    except OSError as error:
        raise write_error(error, path) from error

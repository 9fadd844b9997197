"""``python -m mch_runtime.llama.probe FILE``: load a model, decode eight tokens, and leave.

Run as a child process, so that a file that crashes llama.cpp takes nobody with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mch_runtime.errors import ModelError, SageError
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Block, Feed, Interrupt

TOKENS = 8


def main(path: Path) -> int:
    """0 if the model loads, decodes and gives finite logits; else an exit code, the reason on standard error."""
    options = EngineOptions(model=path, ctx_size=256, threads=1)
    finite: list[bool] = []

    def read(block: Block) -> None:
        finite.append(bool((abs(block.logits) < float("inf")).all()))

    try:
        with open_model(path, probe=False) as model, open_session(model, options, Interrupt()) as session:
            token_ids = [index % model.vocabulary.size for index in range(TOKENS)]
            with session.branch() as branch:
                session.decode([Feed.last(branch, token_ids)], read)
    except SageError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    if not all(finite):
        sys.stderr.write("the model's logits are not finite\n")
        return ModelError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

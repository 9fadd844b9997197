"""What is learned about a model while it is loaded: its description, its head, whether they fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mch_runtime.errors import HeadError
from mch_runtime.file_types import file_type_name
from mch_runtime.head.confidence import step_feature_names
from mch_runtime.head.container import FoundHead, check_belongs, find_head, fingerprint, probe_cosine
from mch_runtime.head.spec import Head
from mch_runtime.llama.model import LlamaModel
from mch_runtime.llama.probe_cache import recall, remember
from mch_runtime.options import EngineOptions
from mch_runtime.session import Block, Feed, FloatArray, Session
from mch_runtime.statistics import FEATURES
from mch_runtime.steering import ReadVector, Steering, steering
from mch_runtime.trace import ModelInfo
from prompts.chat import render_prompt
from prompts.dialects import Dialect, dialect_of
from prompts.sandbox import TemplateRefusedError

NO_TEMPLATE = "the model brings no chat template; it is asked in ChatML, which it may not know"


@dataclass(frozen=True)
class FittedHead:
    """The head that goes with a model, if any. fits False: forced on a base it was not made for.

    fingerprint: the base's.
    """

    fingerprint: str
    head: Head | None
    fits: bool
    notices: tuple[str, ...]


def fit_head(model: LlamaModel, session: Session, options: EngineOptions) -> FittedHead:
    """Find the model's head and check that it belongs to this base. Raises HeadError if not."""
    base = fingerprint(model.fd, model.gguf)
    if not options.use_head:
        return FittedHead(base, None, fits=False, notices=())
    size = os.fstat(model.fd).st_size
    found = find_head(model.path, model.fd, model.gguf, size, head_path=options.head)
    if found is None or found.head is None:
        return FittedHead(base, None, fits=False, notices=found.warnings if found else ())
    _check_names(found.head)
    try:
        check_belongs(found.head, model.gguf, fingerprint=base)
        _check_probe(found, model, session)
    except HeadError as error:
        if not options.force_head:
            raise
        return FittedHead(base, found.head, fits=False, notices=(*found.warnings, error.message))
    return FittedHead(base, found.head, fits=True, notices=found.warnings)


def _check_names(head: Head) -> None:
    """A head that asks for what sage does not have cannot be run at all, not even by force."""
    known = step_feature_names(head.spec)
    of_steps = [head.spec.calibration.get(name) for name in ("fast", *head.spec.channels)]
    asked = [name for calibrator in of_steps if calibrator for name in calibrator.features]
    wanted = {
        "token statistics": [name for name in head.spec.statistics if name not in FEATURES],
        "calibration features": [name for name in asked if name not in known],
    }
    for what, unknown in wanted.items():
        if unknown:
            raise HeadError(f"the head asks for {what} that sage does not know: {', '.join(unknown)}")


def _check_probe(found: FoundHead, model: LlamaModel, session: Session) -> None:
    """Compare the base's state after the probe's tokens with the one the head was fitted on.

    A passed check is remembered for this very file and head: on a large model it is not free.
    """
    assert found.head is not None
    spec = found.head.spec
    purpose = f"head:{found.sha256}"
    if recall(model.fd, purpose) == "ok":
        return
    if max(spec.probe.token_ids) >= session.vocabulary.size:
        raise HeadError("the head's probe has tokens that the model does not have")
    cosine = probe_cosine(spec.probe, hidden_after(session, spec.probe.token_ids))
    if not cosine >= spec.probe.cosine:
        raise HeadError(
            f"the head was fitted on another model: cosine {cosine:.3f} after its probe tokens, "
            f"at least {spec.probe.cosine:.3f} is needed",
            hint="use the head made for this model, or --force-head without calibrated confidence",
        )
    remember(model.fd, purpose, "ok")


def hidden_after(session: Session, token_ids: tuple[int, ...]) -> FloatArray:
    """The final-norm hidden state (d,) after the last of ``token_ids``."""
    states: list[FloatArray] = []
    keep: Callable[[Block], None] = lambda block: states.append(np.array(block.hidden[0]))  # noqa: E731
    with session.branch() as branch:
        session.decode([Feed.last(branch, token_ids)], keep)
    return states[0]


def choose_dialect(model: LlamaModel) -> tuple[Dialect, tuple[str, ...]]:
    """The model's own template if it can be rendered, else ChatML with a notice.

    That a template works is remembered for this very file: finding out takes a child process.
    """
    template = model.gguf.metadata.get("tokenizer.chat_template")
    if not isinstance(template, str) or not template:
        return dialect_of(None), (NO_TEMPLATE,)
    dialect = dialect_of(template)
    purpose = f"template:{dialect.sha256}"
    if not dialect.trusted and recall(model.fd, purpose) != "ok":
        trial = [{"role": "user", "content": "Hello"}]
        try:
            render_prompt(dialect, trial, **special_texts(model))
        except TemplateRefusedError as error:
            return dialect_of(None), (f"{error}; the model is asked in ChatML, which it may not know",)
        remember(model.fd, purpose, "ok")
    return dialect, ()


def steering_of(model: LlamaModel, vectors: Sequence[ReadVector]) -> Steering | None:
    """What steers the model, if anything. Raises DataError for a vector that does not fit it."""
    architecture = str(model.gguf.metadata["general.architecture"])
    return steering(
        vectors,
        layers=int(str(model.gguf.metadata[f"{architecture}.block_count"])),
        width=model.handle.n_embd,
        architecture=architecture,
    )


def model_info(model: LlamaModel, found: FittedHead, steered: Steering | None = None) -> ModelInfo:
    """Name, file and quantization as the file itself says; the fingerprint of the base; what steers it."""
    metadata = model.gguf.metadata
    return ModelInfo(
        name=str(metadata.get("general.name") or model.path.stem),
        file=str(model.path),
        quantization=file_type_name(metadata.get("general.file_type")),
        fingerprint=found.fingerprint,
        head=found.head.spec.name if found.head else None,
        control_vectors=steered.applied if steered is not None else (),
    )


def special_texts(model: LlamaModel) -> dict[str, str]:
    """What templates know of the model: the texts of its bos and eos tokens."""
    return {"bos_token": special_text(model, "bos"), "eos_token": special_text(model, "eos")}


def special_text(model: LlamaModel, name: str) -> str:
    """The text of the bos or eos token, "" if the model has none."""
    token_id = model.gguf.metadata.get(f"tokenizer.ggml.{name}_token_id")
    if not isinstance(token_id, int) or not 0 <= token_id < model.vocabulary.size:
        return ""
    return model.vocabulary.piece(token_id, special=True).decode("utf-8", "replace")

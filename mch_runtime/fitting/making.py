"""From labelled traces to a head: the fit, what ties it to its model, the calibration of greedy answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mch_runtime.errors import UsageError
from mch_runtime.familiarity import read_questions
from mch_runtime.fitting.curves import with_curves
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.base import fingerprint
from mch_runtime.head.calibration import with_calibrator
from mch_runtime.head.fit import CHANNELS, FitConfig, TraceSet, fit
from mch_runtime.head.spec import Calibrator, Familiarity, Head, HeadSpec, Probe
from mch_runtime.loading import hidden_after
from mch_runtime.prompting import Prompt
from mch_runtime.session import Session
from mch_runtime.statistics import FEATURE_NAMES

PROBE_TOKENS = 16
PROBE_COSINE = 0.97
WINDOW = 8
FALSE_ALARMS = 0.01
STEP_DELIMITER = "\n"


@dataclass(frozen=True, kw_only=True)
class Tie:
    """What ties a head to its model. template: sha256 of the chat template that the chains were written under.

    end_token: what the model ends its answers with, None where its file does not say.
    """

    architecture: str
    fingerprint: str
    probe: Probe
    template: str
    end_token: int | None


def tie(session: Session, base: Path, *, template: str) -> Tie:
    """Of the model ``base``, which ``session`` has open."""
    with open_checked(base) as (fd, gguf):
        end = gguf.metadata.get("tokenizer.ggml.eos_token_id")
        known = isinstance(end, int) and 0 <= end < session.vocabulary.size and session.vocabulary.is_end(end)
        return Tie(
            architecture=str(gguf.metadata["general.architecture"]),
            fingerprint=fingerprint(fd, gguf),
            probe=_probe(session),
            template=template,
            end_token=end if known and isinstance(end, int) else None,
        )


def make_head(
    tied: Tie,
    train: TraceSet,
    held_out: TraceSet,
    greedy: TraceSet,
    config: FitConfig,
    *,
    name: str,
    familiarity: Familiarity | None,
    provenance: Mapping[str, str | int | float],
    report: Callable[[str], None] = lambda _line: None,
) -> Head:
    """Fit a head; it has the confidence of ``fast``, and of no other mode yet.

    ``held_out`` stops the fit and calibrates the channels; ``greedy``, greedy chains to other questions than those
    of ``train``, calibrates the confidence of fast mode. Raises UsageError without torch.
    """
    fitted = fit(train, held_out, config, report=report)
    spec = HeadSpec(
        name=name,
        base_architecture=tied.architecture,
        base_fingerprint=tied.fingerprint,
        probe=tied.probe,
        embedding_length=train.hidden.shape[1],
        width=config.width,
        head_count=config.head_count,
        rope_freq_base=config.rope_freq_base,
        rms_epsilon=config.rms_epsilon,
        statistics=FEATURE_NAMES,
        channels=CHANNELS,
        platt_scale=fitted.platt_scale,
        platt_bias=fitted.platt_bias,
        step_delimiter=STEP_DELIMITER,
        template=tied.template,
        familiarity=familiarity,
        provenance={
            "chains": len(train.problems),
            "steps": len(train.step_ends),
            "held_out_chains": len(held_out.problems),
            "greedy_calibration_chains": len(greedy.problems),
            "held_out_loss": min(fitted.losses),
            "date": datetime.now(UTC).date().isoformat(),
            **provenance,
        },
    )
    head = Head(spec, fitted.tensors)
    fast = Calibrator(
        features=("answer_logit",), weight=(1.0,), bias=0.0
    )  # where there is nothing to fit it to
    return with_curves(with_calibrator(head, "fast", fast), held_out, greedy)


def with_provenance(head: Head, more: Mapping[str, str | int | float]) -> Head:
    """The head that knows this about itself too."""
    return replace(head, spec=replace(head.spec, provenance={**head.spec.provenance, **more}))


def familiarity_of(
    session: Session, prompts: Iterable[Prompt], *, window: int = WINDOW, rows: int = 32
) -> Familiarity:
    """The threshold under which one in a hundred of these questions falls.

    Raises UsageError for fewer than 100 questions whose own words can be read in their prompts.
    """
    scores = read_questions(session, prompts, window=window, rows=rows)
    known = sorted(score for score in scores if not math.isnan(score))
    if len(known) < 1 / FALSE_ALARMS:
        raise UsageError(f"{len(known)} questions are too few for a share of {FALSE_ALARMS:g}")
    return Familiarity(threshold=known[int(len(known) * FALSE_ALARMS)], window=window)


def _probe(session: Session) -> Probe:
    """Fixed tokens spread over the base's vocabulary, and the state after them."""
    size = session.vocabulary.size
    token_ids = tuple(size * (2 * k + 1) // (2 * PROBE_TOKENS) for k in range(PROBE_TOKENS))
    return Probe(token_ids=token_ids, state=hidden_after(session, token_ids), cosine=PROBE_COSINE)

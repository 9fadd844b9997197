"""Where a head's numbers mean what they say: on its own base, under its own prompt, for questions as it knows them."""

from __future__ import annotations

from mch_runtime.familiarity import QuestionReader
from mch_runtime.head.spec import Head
from mch_runtime.options import AskOptions, ExplainOptions
from mch_runtime.trace import Mode


class Trust:
    """What can be believed of one head. fits: it was made for this model."""

    def __init__(self, head: Head | None, *, fits: bool, template: str, steered: bool = False) -> None:
        """template: the SHA-256 of the chat template that questions are put in. steered: by a control vector."""
        self.fits = fits
        self._head = head
        self._template = template
        self._steered = steered

    def calibrated(self, options: AskOptions | ExplainOptions) -> bool:
        """Whether the head's confidences mean what they say: right base, right prompt, nothing said before.

        Not under a control vector: it changes the states that the head was fitted on.
        """
        if self._head is None or not self.fits or self._steered or options.system or options.past:
            return False
        return self._head.spec.template in {"", self._template}

    def has_basis(self, mode: Mode) -> bool:
        """Whether the head says what its numbers mean for answers found in this way."""
        return self._head is not None and mode in self._head.spec.calibration

    def wants_reader(self, options: AskOptions | ExplainOptions) -> bool:
        """Whether the question's own words are to be read along.

        Only where the threshold holds: under another prompt, or on another base, it says nothing.
        """
        measured = self._head is not None and self._head.spec.familiarity is not None
        return measured and self.calibrated(options)

    def familiar(self, reader: QuestionReader | None) -> bool | None:
        """Whether the question is worded as those the head was fitted on; None where that is not known."""
        if reader is None or not reader.complete or self._head is None or self._head.spec.familiarity is None:
            return None
        rule = self._head.spec.familiarity
        return reader.lowest(rule.window) >= rule.threshold

    def trusted(self, options: AskOptions, reader: QuestionReader | None) -> bool:
        """Calibrated, and asked in familiar words if the head has a measure of that."""
        return self.calibrated(options) and (reader is None or bool(self.familiar(reader)))

"""An engine that explains whatever it is given in the words of a sample, for tests of everything around it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from mch_runtime.errors import Interrupted, SageError, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.observer import ExplainObserver
from mch_runtime.options import EngineOptions, ExplainOptions
from mch_runtime.session import Interrupt
from sage_cli.app import main
from tests.explanation_samples import ALL, right
from tests.sage_cli.fake_engine import FakeEngine, FakeOpener, Script

TOO_LONG = "too long"  # in a question: it is refused


class FakeExplainer(FakeEngine):
    """``explained`` holds what it was given, ``options_given`` how it was to be explained."""

    sample: Callable[[], Explanation] = staticmethod(right)
    delay = 0.0
    error: SageError | None = None

    def __init__(self, script: Script, options: EngineOptions, interrupt: Interrupt | None) -> None:
        super().__init__(script, options, interrupt)
        self.explained: list[object] = []
        self.options_given: list[ExplainOptions] = []

    def explain(self, chain: object, options: ExplainOptions, *, observer: ExplainObserver) -> Explanation:
        self.explained.append(chain)
        self.options_given.append(options)
        if self.error is not None:
            raise self.error
        if TOO_LONG in chain.question:  # type: ignore[attr-defined]
            raise UsageError("the chain needs 5,000 tokens", hint="shorten it")
        observer.measuring("steps")
        for _ in range(int(self.delay / 0.02)):
            time.sleep(0.02)
            if self._interrupt.requested:
                raise Interrupted
        sample = self.sample()
        trace = replace(sample.trace, question=chain.question, model=self.model)  # type: ignore[attr-defined]
        return replace(sample, trace=trace, sentences=((0, len(trace.question)),))


class ExplainerOpener(FakeOpener):
    """Opens fake explainers."""

    def __init__(
        self,
        sample: Callable[[], Explanation] = right,
        *,
        script: Script | None = None,
        error: SageError | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(script)
        self._changes = {"sample": staticmethod(sample), "error": error, "delay": delay}
        self._kind = type("Explainer", (FakeExplainer,), self._changes)

    def __call__(self, options: EngineOptions, *, interrupt: Interrupt | None = None) -> object:  # type: ignore[override]
        if self.script.load_error:
            raise self.script.load_error
        self.engines.append(self._kind(self.script, options, interrupt))
        return self._open()

    def _open(self) -> object:
        opener = self

        class Open:
            def __enter__(self) -> FakeEngine:
                return opener.engines[-1]

            def __exit__(self, *_: object) -> None:
                opener.closed += 1

        return Open()


if __name__ == "__main__":
    chosen = ALL[os.environ.get("FAKE_SAMPLE") or "right"]
    delay = float(os.environ.get("FAKE_DELAY") or 0)
    sys.exit(main(engine=ExplainerOpener(chosen, delay=delay)))  # type: ignore[arg-type]

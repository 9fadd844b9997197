"""``sage`` over the fake engine, as a process of its own. FAKE_SCRIPT names one of :data:`SCRIPTS`."""

from __future__ import annotations

import os
import sys

from mch_runtime.trace import ModelInfo
from sage_cli.app import main
from tests.sage_cli.fake_engine import PICO, FakeOpener, Script, confident, pico_answer, pieces

PLAIN_MODEL = ModelInfo(
    name="other", file="/models/other.gguf", quantization="Q4_K_M", fingerprint="e" * 64, head=None
)
POEM = ["The moon is up,", "the night is deep,", "", "and all the little tokens sleep."]

SCRIPTS = {
    "pico": Script(),
    "slow": Script(
        delay=0.05,
        steps=[*pieces(*["Step 1: and so on and on and on"] * 400), pico_answer()],
        confidences=[confident(0.9)] * 401,
    ),
    "stubborn": Script(
        delay=0.05,
        steps=[*pieces(*["Step 1: and so on and on and on"] * 40), pico_answer()],
        confidences=[confident(0.9)] * 41,
        stubborn=True,
    ),
    "plain": Script(
        steps=pieces(*POEM, part="answer"), confidences=[None] * 3, confidence=None, model=PLAIN_MODEL
    ),
    "unknown": Script(confidence=None),
    "hostile": Script(
        steps=[*pieces("Step 1: \x1b]52;c;ZXZpbA==\x07 \x9b31m \u202e"), pico_answer("\x1b[2J27")],
        confidences=[confident(0.3), confident(0.4)],
        confidence=0.4,
    ),
    "doubtful": Script(
        steps=[
            *pieces(
                "Step 1: Ann has 12 + 3 = 15 apples.",
                "Step 2: Ben, who has twice as many as Ann and gave away a third of what he had to his sister, has 20.",
                "Step 3: 20 + 15 = 36 apples.",
            ),
            pico_answer("36"),
        ],
        confidences=[confident(0.994), confident(0.74), confident(0.31), confident(0.6)],
        confidence=0.22,
    ),
    "thinking": Script(
        steps=[
            [("<think>", "reasoning"), ("\n", "reasoning")],
            *pieces("Let me add: 12 + 15 = 27."),
            [("</think>", "reasoning"), ("\n\n", "answer")],
            *pieces("They have 27 apples,", "which is a lot.", part="answer"),
        ],
        confidences=[confident(0.9)] * 5,
        model=PICO,
    ),
    "wide": Script(
        steps=[*pieces("Schritt 1: 你好 " * 5), pico_answer("你好")], confidences=[confident(0.9)] * 2
    ),
    "silent": Script(steps=pieces("Step 1: nothing follows"), confidences=[confident(0.9)]),
    "long": Script(
        steps=[[(f"line {i} {'x' * 90}\n", "answer")] for i in range(4000)],
        confidences=[None] * 4000,
        confidence=None,
        model=PLAIN_MODEL,
    ),
    "prefill": Script(prompt_tokens=3000, delay=0.05),
    "bug": Script(confidences=[]),
}

if __name__ == "__main__":
    sys.exit(main(engine=FakeOpener(SCRIPTS[os.environ.get("FAKE_SCRIPT") or "pico"])))

"""Messages to prompt text: our own templates here, a model's own in a child process with limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

from prompts.dialects import Dialect
from prompts.sandbox import TemplateRefusedError, render

SECONDS = 10
CPU_SECONDS = 2
MEMORY_BYTES = 1 << 30


def render_prompt(
    dialect: Dialect, messages: Sequence[Mapping[str, str]], *, bos_token: str = "", eos_token: str = ""
) -> str:
    """The prompt up to where the assistant speaks. Raises TemplateRefusedError."""
    if dialect.trusted:
        return render(dialect.template, messages, bos_token=bos_token, eos_token=eos_token)
    request = {"template": dialect.template, "messages": [dict(m) for m in messages]}
    request |= {"bos_token": bos_token, "eos_token": eos_token}
    try:
        child = subprocess.run(
            [sys.executable, "-m", "prompts.chat"],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=SECONDS,
            process_group=0,  # Ctrl-C on the terminal is for us, no failure of the template
        )
    except subprocess.TimeoutExpired as error:
        raise TemplateRefusedError(f"the chat template did not finish in {SECONDS} s") from error
    if child.returncode != 0:
        said = child.stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise TemplateRefusedError(said or "the chat template took too much time or memory")
    return child.stdout.decode("utf-8")


def _limit() -> None:
    """Bound this process; the hard limits also end what cannot be interrupted."""
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _main() -> int:
    _limit()
    request = json.loads(sys.stdin.buffer.read())
    try:
        text = render(
            request["template"],
            request["messages"],
            bos_token=request["bos_token"],
            eos_token=request["eos_token"],
        )
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    except TemplateRefusedError as error:
        sys.stderr.write(str(error))
        return 1
    except MemoryError:
        sys.stderr.write("the chat template took too much memory")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())

"""Flags, each with one meaning in every command that has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mch_runtime.conversation import Policy
from mch_runtime.effort import MOST_VOTES
from mch_runtime.trace import Mode
from sage_cli.console import ColorChoice
from sage_cli.render.styles import Format, Style
from sage_cli.shell import Shell

_MODEL = "Model"
_GENERATION = "Generation"
_TRUST = "Confidence"
_DISPLAY = "Output"
_MEASURED = "What is measured"


def _remember_color(ctx: typer.Context, value: ColorChoice) -> ColorChoice:
    if isinstance(ctx.obj, Shell):
        ctx.obj.color = value
    return value


Model = Annotated[
    Path | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="GGUF file, alias, or name in sage models. Default: $SAGE_MODEL, the configured one, sage-pico.",
        rich_help_panel=_MODEL,
    ),
]
HubModel = Annotated[
    str | None,
    typer.Option(
        "-hf",
        "--hf-repo",
        metavar="NAME",
        help="Model of the Hugging Face hub, user/repo[:QUANT]; downloaded if it is not in the cache.",
        rich_help_panel=_MODEL,
    ),
]
CtxSize = Annotated[
    int | None,
    typer.Option(
        "--ctx-size",
        metavar="N",
        help="Tokens of context. Default: the model's own, at most 4096.",
        rich_help_panel=_MODEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        help="Threads to compute with. Default: one per core.",
        rich_help_panel=_MODEL,
    ),
]
GpuLayers = Annotated[
    int,
    typer.Option(
        "-ngl",
        "--gpu-layers",
        metavar="N",
        min=-1,
        help="Layers to put on the GPU, -1 for all. Default: 0.",
        rich_help_panel=_MODEL,
    ),
]
ControlVectors = Annotated[
    list[str] | None,
    typer.Option(
        "--control-vector",
        metavar="FILE[:SCALE]",
        help="Steer the model by a control vector, llama.cpp's format; confidence is then not known. May be repeated.",
        rich_help_panel=_MODEL,
    ),
]
System = Annotated[
    str,
    typer.Option(
        "-s",
        "--system",
        metavar="TEXT",
        help="System prompt. The head was fitted without one: confidence is then not known.",
        rich_help_panel=_GENERATION,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--max-tokens",
        metavar="N",
        help="Stop after so many tokens. Default: when the context is full.",
        rich_help_panel=_GENERATION,
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help="End a chain where TEXT begins, which is left out. What it cuts off has no confidence. May be repeated.",
        rich_help_panel=_GENERATION,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        metavar="N",
        help="Seed of the sampler; matters above temperature 0 only. Default: drawn.",
        rich_help_panel=_GENERATION,
    ),
]
SamplingOption = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="K=V",
        help="A sampling option, also as -o K V; named below. May be repeated.",
        rich_help_panel=_GENERATION,
    ),
]
Continue = Annotated[
    bool,
    typer.Option(
        "-c", "--continue", help="Go on with the last conversation of the log.", rich_help_panel=_GENERATION
    ),
]
Conversation = Annotated[
    str | None,
    typer.Option(
        "--cid",
        metavar="ID",
        help="Go on with a conversation of the log, by the id of any answer in it.",
        rich_help_panel=_GENERATION,
    ),
]
ContextPolicy = Annotated[
    Policy | None,
    typer.Option(
        "--context-policy",
        metavar="POLICY",
        help="full, landmark or single: what the model sees of the turns before. Default: full.",
        rich_help_panel=_GENERATION,
    ),
]
TemplateName = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--template",
        metavar="NAME",
        help="Ask with a named template; see sage templates. Flags come before what it says.",
        rich_help_panel=_GENERATION,
    ),
]
TemplateValue = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="K=V",
        help="The value of a variable of the template, also as -p K V. May be repeated.",
        rich_help_panel=_GENERATION,
    ),
]
SaveTemplate = Annotated[
    str | None,
    typer.Option(
        "--save",
        metavar="NAME",
        help="Ask nothing: keep model, system prompt, question and options as a template.",
        rich_help_panel=_GENERATION,
    ),
]
AnsweringMode = Annotated[
    Mode | None,
    typer.Option(
        "--mode",
        metavar="MODE",
        help="fast, vote, think or auto: how much is done for the answer. Default: fast; vote with --votes.",
        rich_help_panel=_GENERATION,
    ),
]
Votes = Annotated[
    int | None,
    typer.Option(
        "--votes",
        metavar="N",
        min=1,
        max=MOST_VOTES,
        help="Chains to draw at most; fewer if they decide. Default: 8.",
        rich_help_panel=_GENERATION,
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget",
        metavar="TOKENS",
        min=1,
        help="Tokens to write and score for an answer, at most. Default: no limit.",
        rich_help_panel=_GENERATION,
    ),
]
Skepticism = Annotated[
    float | None,
    typer.Option(
        "--skepticism",
        metavar="S",
        help="How much inverse consistency and the head weigh against what is merely likely. Default: 16.",
        rich_help_panel=_GENERATION,
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Let no chain's numbers depend on those beside it; seed 0 unless given. May be slower.",
        rich_help_panel=_GENERATION,
    ),
]
Jsonl = Annotated[
    bool,
    typer.Option(
        "--jsonl",
        help="Answer every line of standard input, plain or {question, id, system}; print a trace for each.",
        rich_help_panel=_GENERATION,
    ),
]
NoStdin = Annotated[
    bool, typer.Option("--no-stdin", help="Leave standard input alone.", rich_help_panel=_GENERATION)
]
Head = Annotated[
    Path | None,
    typer.Option(
        "--head",
        metavar="FILE",
        help="Head to use instead of the one found with the model.",
        rich_help_panel=_TRUST,
    ),
]
NoHead = Annotated[bool, typer.Option("--no-head", help="Use no head.", rich_help_panel=_TRUST)]
ForceHead = Annotated[
    bool,
    typer.Option(
        "--force-head",
        help="Use a head made for another model; confidence is then not known.",
        rich_help_panel=_TRUST,
    ),
]
FailUnder = Annotated[
    float | None,
    typer.Option(
        "--fail-under",
        metavar="P",
        help="Exit with 3 if the confidence is under P (0 to 1) or not known.",
        rich_help_panel=_TRUST,
    ),
]
RequireMajority = Annotated[
    bool,
    typer.Option(
        "--require-majority",
        help="Exit with 5 if no answer has more than half of the weight.",
        rich_help_panel=_TRUST,
    ),
]
ShowVotes = Annotated[
    bool, typer.Option("--show-votes", help="Show what the chains voted for.", rich_help_panel=_DISPLAY)
]
Fold = Annotated[
    bool, typer.Option("--fold", help="Show the reasoning as one line.", rich_help_panel=_DISPLAY)
]
ResumeFile = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="FILE",
        help="With --jsonl: write to this file, line by line; questions that are there are skipped.",
        rich_help_panel=_DISPLAY,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel=_DISPLAY)]
NoStream = Annotated[
    bool, typer.Option("--no-stream", help="Show everything at the end.", rich_help_panel=_DISPLAY)
]
NoLog = Annotated[
    bool,
    typer.Option("--no-log", help="Do not keep the answer; see sage logs.", rich_help_panel=_DISPLAY),
]
Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="Nothing but errors on standard error.", rich_help_panel=_DISPLAY),
]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Add tokens, times and sampling.", rich_help_panel=_DISPLAY),
]
SafeOutput = Annotated[
    bool,
    typer.Option(
        "--safe-output",
        help="Make control characters visible in pipes too; on terminals they always are.",
        rich_help_panel=_DISPLAY,
    ),
]
Color = Annotated[
    ColorChoice,
    typer.Option(
        "--color",
        metavar="WHEN",
        callback=_remember_color,
        is_eager=True,
        help="auto, always or never. NO_COLOR comes before it, FORCE_COLOR after. Default: auto.",
        rich_help_panel=_DISPLAY,
    ),
]
OutputFile = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write; never the input.")
]
OptionalOutputFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write to this file instead of standard output: whole or not at all, a batch line by line.",
        rich_help_panel=_DISPLAY,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the batch in -o FILE: records that are there are skipped.",
        rich_help_panel=_DISPLAY,
    ),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Measure anew what was measured of this answer before.",
        rich_help_panel=_MEASURED,
    ),
]
ExplanationFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="text, md, json or html. Default: text, and json for several records.",
        rich_help_panel=_DISPLAY,
    ),
]
ExplanationStyle = Annotated[
    Style | None,
    typer.Option(
        "--style",
        metavar="STYLE",
        help="brief: a paragraph; steps; evidence: every number; questions: what a reader would ask. "
        "Default: steps.",
        rich_help_panel=_DISPLAY,
    ),
]
NoPremises = Annotated[
    bool, typer.Option("--no-premises", help="Not what each step rests on.", rich_help_panel=_MEASURED)
]
Alternatives = Annotated[
    int,
    typer.Option(
        "--alternatives",
        metavar="N",
        min=1,
        max=20,
        help="Roads not taken to follow at each decision point. Default: 3.",
        rich_help_panel=_MEASURED,
    ),
]
NoAlternatives = Annotated[
    bool, typer.Option("--no-alternatives", help="No roads not taken.", rich_help_panel=_MEASURED)
]
Faithfulness = Annotated[
    bool,
    typer.Option(
        "--faithfulness",
        help="Also whether the named premises carry the steps. Takes longer.",
        rich_help_panel=_MEASURED,
    ),
]
OfflineSelf = Annotated[
    bool,
    typer.Option(
        "--offline-self",
        help="Add the model's own words about the evidence, marked as generated.",
        rich_help_panel=_MEASURED,
    ),
]
FailUnderIcs = Annotated[
    float | None,
    typer.Option(
        "--fail-under-ics",
        metavar="S",
        help="Exit with 4 if the inverse consistency is under S nats per token or not known.",
        rich_help_panel=_TRUST,
    ),
]

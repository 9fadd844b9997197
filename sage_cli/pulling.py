"""``sage pull``: a model from the hub into the Hugging Face cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sage_cli import flags
from sage_cli.render.amounts import size
from sage_cli.render.safe import one_line
from sage_cli.shell import Shell, shell_of

if TYPE_CHECKING:
    from convert.hub import Pulled
    from convert.hub_names import HubName

EPILOG = """
Environment:
  HF_HOME, HF_HUB_CACHE     where downloads are kept, shared with other programs
  HF_TOKEN                  token for private and gated repositories
  HF_ENDPOINT               another hub than https://huggingface.co
  HF_HUB_OFFLINE=1          never use the network
  HF_HUB_DOWNLOAD_TIMEOUT   seconds to wait for the hub; 10

Exit codes:
  0    the model is in the cache
  2    not a name of the hub
  65   bad data: split or unsupported model, wrong checksum
  66   no such repository or quantization
  69   no network, or the hub failed
  74   reading or writing failed, no space
  77   gated repository, token refused, cache not writable
  130  interrupted; the next attempt goes on from there
"""


def pull(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="user/repo or user/repo:QUANT. Default quantization: Q4_K_M, else the first GGUF.",
        ),
    ],
    *,
    quiet: flags.Quiet = False,
    color: flags.Color = "auto",
) -> int:
    """
    Download a model from the Hugging Face hub, with its head if the repository has one.

    An interrupted download goes on where it stopped. The file is used only if its checksum is the hub's and it passes
    the guard.
    """
    shell = shell_of(ctx)
    from convert.hub_names import require_name

    pulled = pull_model(shell, require_name(name), quiet=quiet)
    shell.out.write(f"{pulled.path}\n")
    return 0


def pull_model(shell: Shell, name: HubName, *, quiet: bool) -> Pulled:
    """Download what is missing of a model, telling on standard error. Raises the errors of ``convert.hub``."""
    from convert.hub import Hub
    from sage_cli.progress import bar
    from sage_cli.screen import passing_line

    hub = Hub(shell.environ)
    with passing_line(shell, f"looking up {name}", hidden=quiet):
        found = hub.look_up(name)
    head = ", with its head" if found.choice.head else ""
    if not quiet:
        shell.err.write(one_line(f"{name.repo}: {found.choice.model.path}, {size(found.size)}{head}") + "\n")
    with shell.users_umask(), bar(shell, found.choice.model.name, quiet=quiet) as advance:
        pulled = hub.fetch(found, advance=advance)
    if not quiet:
        done = (
            f"{size(pulled.received)} received, checksum right" if pulled.received else "already in the cache"
        )
        shell.err.write(f"{done}\n")
    return pulled

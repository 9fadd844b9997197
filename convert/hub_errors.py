"""What goes wrong between here and the hub, in sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from mch_runtime.errors import AccessError, MissingInputError, NetworkError, SageError

_ERRNO = re.compile(r"\[Errno -?\d+\]")
_OFFLINE_HINT = "what is in the cache can be used without a network: sage models"


def offline(what: str) -> NetworkError:
    """HF_HUB_OFFLINE forbids what would have to be fetched."""
    return NetworkError(f"{what} is not in the cache, and HF_HUB_OFFLINE is set", hint=_OFFLINE_HINT)


@contextmanager
def speaking(endpoint: str, repo: str) -> Iterator[None]:
    """Errors of the client library become errors of ours. Raises NetworkError, AccessError or MissingInputError."""
    try:
        yield
    except HfHubHTTPError as error:
        raise _refused(error, endpoint, repo) from error
    except OfflineModeIsEnabled as error:
        raise offline(repo) from error
    except httpx2.TimeoutException as error:
        hint = "try again; HF_HUB_DOWNLOAD_TIMEOUT sets how many seconds to wait"
        raise NetworkError(f"{endpoint} did not answer in time", hint=hint) from error
    except httpx2.HTTPError as error:
        reason = " ".join(_ERRNO.sub("", str(error)).split()).lower() or "the connection broke"
        raise NetworkError(f"cannot reach {endpoint}: {reason}", hint=_OFFLINE_HINT) from error


def _refused(error: HfHubHTTPError, endpoint: str, repo: str) -> SageError:
    if isinstance(error, GatedRepoError):
        hint = f"ask for access at {endpoint}/{repo}, and set HF_TOKEN to a token of that account"
        return AccessError(f"{repo} is gated: its owner decides who may download it", hint=hint)
    if isinstance(error, DisabledRepoError):
        return AccessError(f"{repo} has been disabled on the hub")
    if isinstance(error, RepositoryNotFoundError):
        return _missing(repo)
    return _by_status(error, endpoint, repo)


def _missing(repo: str) -> SageError:
    """The hub does not tell a missing repository from one that is hidden."""
    if os.environ.get("HF_TOKEN"):
        hint = "check the name, and whether the token in HF_TOKEN may read it"
    else:
        hint = "check the name; if it is private, set HF_TOKEN to a token that may read it"
    return MissingInputError(f"there is no repository {repo}, or it is private", hint=hint)


def _by_status(error: HfHubHTTPError, endpoint: str, repo: str) -> SageError:
    status = error.response.status_code
    if status in {401, 403}:
        return AccessError(f"{endpoint} refuses access to {repo} ({status})", hint="check HF_TOKEN")
    if status == 404:
        return MissingInputError(f"{endpoint} does not have what it lists of {repo}", hint="try again")
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        hint = f"try again in {wait} seconds" if wait.isdigit() else "try again later, or set HF_TOKEN"
        return NetworkError(f"{endpoint} has had too many requests from here (429)", hint=hint)
    if status >= 500:
        return NetworkError(f"{endpoint} is out of order ({status})", hint="try again later")
    return NetworkError(f"{endpoint} answered {status}", hint="check HF_ENDPOINT")

"""Errors between this machine and the hub: whether to retry, and one line that says what to do."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

RETRIES = 3
NETWORK_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}  # by huggingface_hub's version
CUT = "Consistency check failed"  # huggingface_hub's words for a download that ended early


class Failed(Exception):
    """The fetch step failed. `unreachable`: the hub did not answer at all."""

    def __init__(self, line: str, unreachable: bool = False):
        super().__init__(line)
        self.unreachable = unreachable


class _Temporary(Failed):
    """May succeed later."""


def with_retries(call: Callable[[], Any], what: str, backoff_s: float) -> Any:
    """`call()`, repeated up to RETRIES times after 429, 5xx and connection errors. Raises Failed.

    Jitter keeps clients that were refused together from retrying together.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(_Temporary),
        stop=stop_after_attempt(RETRIES + 1),
        wait=wait_exponential(multiplier=backoff_s) + wait_random(0, backoff_s),
        before_sleep=_announce,
        reraise=True,
    )
    return retrying(_call, call, what)


def _call(call: Callable[[], Any], what: str) -> Any:
    """`call()`; any exception becomes a Failed of one line."""
    try:
        return call()
    except Exception as error:
        status, unreachable = diagnose(error)
        is_temporary = unreachable or CUT in str(error) or status == 429 or (status or 0) >= 500
        kind = _Temporary if is_temporary and not constants.HF_HUB_OFFLINE else Failed
        raise kind(explain(error, status, unreachable, what), unreachable) from None


def _announce(state: RetryCallState) -> None:
    wait, attempt = state.next_action.sleep, state.attempt_number
    print(f"{state.outcome.exception()}; trying again in {wait:.0f} s ({attempt} of {RETRIES})", flush=True)


def diagnose(error: BaseException) -> tuple[int | None, bool]:
    """`(HTTP status or None, whether the hub could not be reached)` of an error or its causes."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        status = getattr(getattr(link, "response", None), "status_code", None)
        if isinstance(status, int):
            return status, False
    network = any(
        isinstance(link, ConnectionError | TimeoutError) or type(link).__module__.split(".")[0] in NETWORK_LIBRARIES
        for link in chain
    )
    return None, network


def explain(error: BaseException, status: int | None, unreachable: bool, what: str) -> str:
    """One line: the request, what happened, what to do. Contains no secret."""
    if constants.HF_HUB_OFFLINE:
        return f"{what}: not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it"
    has_token = bool(_secret())
    subject = f"{what}: the hub at {host()}"
    name = "check the name (nor is there a directory of that name here)"
    if status == 401 and has_token:
        return f"{subject} refuses the token, or has no such model (HTTP 401); renew HF_TOKEN, or {name}"
    if status == 401:
        return f"{subject} wants a token, or has no such model (HTTP 401); set HF_TOKEN, or {name}"
    if status == 403:
        return f"{subject} denies access (HTTP 403); accept the model's terms on its page, and set HF_TOKEN"
    if status == 404:
        return f"{subject} has no such model or revision (HTTP 404); {name}"
    if status == 429:
        return f"{subject} allows no more requests now (HTTP 429); wait a while, or set HF_TOKEN for a higher limit"
    if status is not None:
        return f"{subject} answers with an error (HTTP {status}); try again later"
    if unreachable:
        return f"{subject} cannot be reached ({_describe(error)}); check the network, the proxy and HF_ENDPOINT"
    if CUT in str(error):
        return f"{what}: the download from {host()} was cut; run again to resume it"
    return f"{what}: {_describe(error)}"


def _describe(error: BaseException) -> str:
    text = re.sub(r"//[^/\s@]*@", "//", " ".join(str(error).split()))  # a proxy's address may contain a password
    secret = _secret()
    text = text.replace(secret, "***") if secret else text
    return f"{type(error).__name__}: {text[:160]}"


def _secret() -> str:
    try:
        return Path(os.environ["HF_TOKEN_PATH"]).read_text().strip()
    except (OSError, KeyError):
        return ""


def host() -> str:
    """The hub's address to show: HF_ENDPOINT without any password."""
    parts = urlsplit(constants.ENDPOINT)
    return (parts.hostname or "?") + (f":{parts.port}" if parts.port else "")

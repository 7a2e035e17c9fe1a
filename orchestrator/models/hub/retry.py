"""What went wrong between this machine and the hub: worth another try or not, and in one line what to do."""

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
    """The step is over. `unreachable`: the hub did not answer at all."""

    def __init__(self, line: str, unreachable: bool = False):
        super().__init__(line)
        self.unreachable = unreachable


class _Passing(Failed):
    """May be over after a while."""


def with_retries(call: Callable[[], Any], what: str, backoff_s: float) -> Any:
    """`call()`, again up to RETRIES times after 429, 5xx and connection errors. Raises Failed.

    With jitter, so that many clients that were refused together do not come back together.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(_Passing),
        stop=stop_after_attempt(RETRIES + 1),
        wait=wait_exponential(multiplier=backoff_s) + wait_random(0, backoff_s),
        before_sleep=_announce,
        reraise=True,
    )
    return retrying(_explained, call, what)


def _explained(call: Callable[[], Any], what: str) -> Any:
    """`call()`; whatever it raises becomes Failed, in one line."""
    try:
        return call()
    except Exception as error:
        status, unreachable = diagnose(error)
        passing = unreachable or CUT in str(error) or status == 429 or (status or 0) >= 500
        kind = _Passing if passing and not constants.HF_HUB_OFFLINE else Failed
        raise kind(explain(error, status, unreachable, what), unreachable) from None


def _announce(state: RetryCallState) -> None:
    wait, attempt = state.next_action.sleep, state.attempt_number
    print(f"{state.outcome.exception()}; trying again in {wait:.0f} s ({attempt} of {RETRIES})", flush=True)


def diagnose(error: BaseException) -> tuple[int | None, bool]:
    """`(HTTP status or None, whether the hub could not be reached)` of an error or of what it was raised from."""
    seen: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in seen:
        seen.append(step)
        step = step.__cause__ or step.__context__
    for step in seen:
        status = getattr(getattr(step, "response", None), "status_code", None)
        if isinstance(status, int):
            return status, False
    network = any(
        isinstance(step, ConnectionError | TimeoutError) or type(step).__module__.split(".")[0] in NETWORK_LIBRARIES
        for step in seen
    )
    return None, network


def explain(error: BaseException, status: int | None, unreachable: bool, what: str) -> str:
    """One line: what was asked for, what happened, what to do. Never a message that could hold a secret."""
    if constants.HF_HUB_OFFLINE:
        return f"{what}: not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it"
    has_token = bool(_secret())
    asked = f"{what}: the hub at {host()}"
    name = "check the name (nor is there a directory of that name here)"
    if status == 401 and has_token:
        return f"{asked} refuses the token, or has no such model (HTTP 401); renew HF_TOKEN, or {name}"
    if status == 401:
        return f"{asked} wants a token, or has no such model (HTTP 401); set HF_TOKEN, or {name}"
    if status == 403:
        return f"{asked} denies access (HTTP 403); accept the model's terms on its page, and set HF_TOKEN"
    if status == 404:
        return f"{asked} has no such model or revision (HTTP 404); {name}"
    if status == 429:
        return f"{asked} allows no more requests now (HTTP 429); wait a while, or set HF_TOKEN for a higher limit"
    if status is not None:
        return f"{asked} answers with an error (HTTP {status}); try again later"
    if unreachable:
        return f"{asked} cannot be reached ({_plainly(error)}); check the network, the proxy and HF_ENDPOINT"
    if CUT in str(error):
        return f"{what}: the download from {host()} was cut; run again to resume it"
    return f"{what}: {_plainly(error)}"


def _plainly(error: BaseException) -> str:
    text = re.sub(r"//[^/\s@]*@", "//", " ".join(str(error).split()))  # a proxy's address may hold a password
    secret = _secret()
    text = text.replace(secret, "***") if secret else text
    return f"{type(error).__name__}: {text[:160]}"


def _secret() -> str:
    try:
        return Path(os.environ["HF_TOKEN_PATH"]).read_text().strip()
    except (OSError, KeyError):
        return ""


def host() -> str:
    """The hub's address as far as it may be shown: HF_ENDPOINT without any password."""
    parts = urlsplit(constants.ENDPOINT)
    return (parts.hostname or "?") + (f":{parts.port}" if parts.port else "")

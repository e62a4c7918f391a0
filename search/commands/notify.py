"""Notices about a search, to a phone, a chat or a mail box: by the library apprise, the extra `notify`.

The addresses are secrets, since most contain a password or a token: they are in no message, log or file of ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from search.errors import UsageError
from search.text import without_passwords

VARIABLE = "SMALLSEARCH_NOTIFY"
HIDDEN = "***"  # is stored in place of an address
OPTION = "--notify"
LOGGERS = ("apprise", "urllib3", "requests", "requests_oauthlib")  # they name addresses, and are silenced
WAIT_SECONDS = 30.0  # for the last notices, when the command is done


def taken_from_environment() -> tuple[str, ...]:
    """The addresses of the environment, where spaces are between them, and from which they are removed.

    So no process that is started later sees them, such as a worker, in which the user's own code runs.
    """
    return tuple(os.environ.pop(VARIABLE, "").split())


def without_addresses(arguments: Sequence[str]) -> list[str]:
    """A command's arguments with HIDDEN in place of each address."""
    shown: list[str] = []
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if shown and shown[-1] == OPTION:
            shown.append(HIDDEN)
        else:
            shown.append(f"{name}={HIDDEN}" if name == OPTION and equals else argument)
    return shown


class Notices:
    """Sends messages, one after another, in a thread of its own. What fails there is told by `close`, and ends nothing.

    Made before the search, so that an address that cannot be right is refused at once.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        """`urls`: of apprise. Raises UsageError if there are some and apprise is missing, or does not know one."""
        self._places = [_place(number, url) for number, url in enumerate(urls, start=1)]
        self._failed: set[int] = set()  # numbers of places
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        if self._places:
            self._thread.start()

    def send(self, title: str, body: str) -> None:
        """Send a message to all places, others' machines: passwords of URLs in it are masked. Returns at once."""
        if self._places:
            self._waiting.put((without_passwords(title), without_passwords(body)))

    def close(self) -> str:
        """Wait for what is being sent, at most WAIT_SECONDS. Returns what went wrong, in words; empty if nothing."""
        if not self._places:
            return ""
        self._waiting.put(None)
        self._thread.join(WAIT_SECONDS)
        if self._thread.is_alive():
            return (
                f"{OPTION}: a notice was not sent within {WAIT_SECONDS:.0f} s, and is given up; nothing else is wrong"
            )
        if not self._failed:
            return ""
        which = ", ".join(map(str, sorted(self._failed)))
        return (
            f"{OPTION}: notices to {len(self._failed)} of {len(self._places)} addresses were not sent (number "
            f"{which}); nothing else is wrong. Try the address with apprise's own command"
        )

    def _send_all(self) -> None:
        while message := self._waiting.get():
            title, body = message
            for number, place in enumerate(self._places, start=1):
                if not _sent(place, title, body):
                    self._failed.add(number)


def _sent(place: Any, title: str, body: str) -> bool:
    try:
        return bool(place.notify(title=title, body=body))
    except Exception:  # noqa: BLE001 - of whatever service: it must not harm the search, and may hold the address
        return False


def _place(number: int, url: str) -> Any:
    """What sends to one address, the `number`-th. Raises UsageError, which does not contain it."""
    if find_spec("apprise") is None:
        raise UsageError(f"{OPTION} needs the package apprise, which is not installed; pip install 'apprise>=1.9'")
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    import apprise

    place, known = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, storage_mode="memory")), False
    with contextlib.suppress(Exception):  # of whatever service
        known = bool(place.add(url)) and len(place) == 1
    if not known:
        kind = re.match(r"[a-z0-9]{1,20}(?=://)", url.lower())
        begins = f"begins with {kind[0]}://" if kind else "has no kind, as in mailto:// or json://"
        raise UsageError(
            f"{OPTION}: apprise cannot send to address number {number}, which {begins} and is not shown, as it may "
            "contain a password; its documentation lists the kinds of addresses, and its own command tries one"
        )
    return place

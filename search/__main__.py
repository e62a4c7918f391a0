"""The program `search`, also as `python -m search`.

It handles Ctrl-C before anything else: importing the commands takes half a second.
"""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended


def main() -> None:
    """Run the command. Ctrl-C before it begins ends it without a word; when it has ended, it only ends."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from cli import main as command
    from search.cli.common import note_process

    note_process()
    try:
        command()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # exit handlers of libraries would show a traceback


if __name__ == "__main__":
    main()

"""How jobs are waited for."""

from __future__ import annotations

TICK_SECONDS = 0.25  # between two looks at whether somebody asks to stop

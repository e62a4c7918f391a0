"""Find the best image classifier that a small data set can support: the commands of `search` as functions of Python.

>>> import search
>>> study = search.run("pictures", hours=1)

The names in `__all__` are imported on first access, so that the command starts without NumPy and SQLAlchemy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import Study, check, compare, diagnose, open_study, resume, run
    from search.errors import RunError, UsageError

__all__ = ["RunError", "Study", "UsageError", "check", "compare", "diagnose", "open_study", "resume", "run"]


if not TYPE_CHECKING:  # so that a type checker knows these names and no others

    def __getattr__(name: str) -> Any:
        import importlib

        if name not in __all__:
            raise AttributeError(f"module 'search' has no attribute '{name}'; it has {', '.join(__all__)}")
        module = "search.errors" if name.endswith("Error") else "search.api"
        return globals().setdefault(name, getattr(importlib.import_module(module), name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

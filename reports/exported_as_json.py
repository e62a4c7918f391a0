"""What `search export --json` prints: plain data, for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from search.results.exported import Exported


def exported_as_json(done: Exported) -> dict[str, Any]:
    """A model that was written. `agreement` is None for a copy of the study's model, and for code."""
    return {
        "path": str(done.path),
        "files": [str(file) for file in done.files or (done.path,)],
        "card": str(done.card),
        "format": done.format,
        "classes": list(done.classes),
        "image_shape": list(done.image_shape),
        "quantized": done.says.get("quantized") or None,
        "batch": done.says.get("batch"),
        "opset": done.says.get("opset"),
        "agreement": asdict(done.agreement) if done.agreement else None,
        "missing_images": done.missing,
    }

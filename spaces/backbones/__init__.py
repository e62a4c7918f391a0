"""Pre-trained networks whose weights come as installed packages: read without running anything that is in them."""

from __future__ import annotations


class BackboneError(ValueError):
    """Weights that are missing, or are not the ones that they should be. The message is one sentence for a person."""

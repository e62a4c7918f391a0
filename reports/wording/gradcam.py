"""Where the saved model looks, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.results.gradcam import HALF, Looks

MOST_OF_IT = 0.5  # share of the picture above HALF from which no place can be named
_PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("at the left", "in the middle", "at the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)


def place(of_picture: NDArray[np.uint8]) -> str:
    """'looks most at the top left': the ninth of the picture in which the middle of what is looked at lies.

    Empty if nothing is looked at.
    `of_picture`: a map [height, width].
    """
    strong = np.where(of_picture >= HALF, of_picture.astype(float), 0.0)
    if not strong.any():
        return ""
    if (strong > 0).mean() > MOST_OF_IT:
        return "looks at most of it"
    rows, columns = ((np.arange(side) + 0.5) / side for side in strong.shape)
    y, x = strong.sum(axis=1) @ rows / strong.sum(), strong.sum(axis=0) @ columns / strong.sum()
    return f"looks most {_PLACES[min(int(3 * y), 2)][min(int(3 * x), 2)]}"


def about(looks: Looks, *, together: bool) -> str:
    """What the colours mean, whose they are, and that they prove nothing. `together`: whether an ensemble is saved."""
    network = f"network of trial {looks.trial}{', which counts most in the ensemble' if together else ''}"
    whose = (
        f"Each picture is looked at by a {network}{',' if together else ''} that was not trained on it."
        if looks.unseen
        else f"This is the saved {network}. It was trained on these pictures too, so it may look elsewhere than the "
        "networks that gave these answers."
    )
    return (
        "Yellow is where the network found most of what speaks for its answer, dark blue where it found nothing "
        f"(Grad-CAM, place by place: Draelos and Carin 2020). {whose} "
        "In a picture without colours it found nothing that speaks for its answer. "
        "The places are rough, and they are no proof of the cause."
    )

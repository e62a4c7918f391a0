"""Reference rows: plain methods on the folds of the search, which a search has to beat to be worth its time.

On some small sets logistic regression on pixels ties a plain CNN; whoever reads a leaderboard must see that.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.jobs import FitOptions, FoldJob, ReferenceJob, ReferenceResult, WorkerContext, probed
from search.stats.chance import majority
from search.stats.metrics import scores
from search.worker.features import Features
from search.worker.heads import fit_head, standardized
from spaces.presets import FAMILIES

_PIECE = 1024  # images that are reduced at once
MAX_SIDE = 32  # pixels of the longer side, to which logistic regression's images are reduced
_MAX_STEPS = 1000  # of L-BFGS
_LOGIT_VARIANCE = 10.0

Probabilities = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def judge(job: ReferenceJob, pixels: Pixels, features: Features, context: WorkerContext) -> ReferenceResult:
    """Fit a reference on a fold's training rows and judge it on its validation rows. Pure: same job, same result.

    `pixels` is [images, height, width, channels], and `features` those of the same images.
    Raises ValueError where a method cannot be fitted, such as on rows of one class, or is none of these.
    """
    started = time.perf_counter()
    fitted = job.train if job.part is None else job.part
    labels, classes = context.labels[fitted], context.facts.classes
    match job.method:
        case "majority":
            probabilities = majority(labels, len(job.validate), classes)
        case "logistic_regression":
            train, validate = standardized(_reduced(pixels, fitted), _reduced(pixels, job.validate))
            probabilities = logistic_regression(train, labels, validate, classes)
        case "linear_probe":
            probabilities = _probe(job, fitted, features, context)
        case _:
            raise ValueError(f"there is no reference {job.name!r}")
    return ReferenceResult(
        scores(context.labels[job.validate], probabilities), probabilities, time.perf_counter() - started
    )


def logistic_regression(
    train: NDArray[np.float32], labels: NDArray[np.int16], validate: NDArray[np.float32], classes: int
) -> Probabilities:
    """[rows, classes] of multinomial logistic regression with an L2 penalty on standardised inputs [rows, width].

    C is 10 / width, not searched: with a weight's prior variance C, the logits of a typical image then have variance
    10, whatever the number of pixels. Out of fold on three sets of 110 to 700 images that was within 1.2 points of the
    best of 8 values from 0.1 / width to 1. A class without training rows gets probability 0.
    """
    from sklearn.linear_model import LogisticRegression  # over a second
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # one thread a worker; and sums keep their order
        model = LogisticRegression(C=_LOGIT_VARIANCE / train.shape[1], max_iter=_MAX_STEPS).fit(train, labels)
        probabilities = np.zeros((len(validate), classes), np.float32)
        probabilities[:, model.classes_.astype(int)] = model.predict_proba(validate)
    return probabilities


def _reduced(pixels: Pixels, rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """`reduced` of some images, piece by piece: all of them at full size may be more than memory holds."""
    return np.concatenate([reduced(pixels[rows[start : start + _PIECE]]) for start in range(0, len(rows), _PIECE)])


def reduced(pixels: Pixels) -> NDArray[np.float32]:
    """[images, width] of images [images, height, width, channels]: each pixel the mean of the area that it covers.

    The longer side becomes MAX_SIDE; smaller images stay as they are.
    """
    height, width = pixels.shape[1:3]
    longer = max(height, width)
    if longer > MAX_SIDE:
        size = (max(1, round(width * MAX_SIDE / longer)), max(1, round(height * MAX_SIDE / longer)))
        pixels = np.stack([_resized(image, size) for image in pixels])
    return pixels.reshape(len(pixels), -1).astype(np.float32)


def _resized(image: Pixels, size: tuple[int, int]) -> Pixels:
    plane = image[..., 0] if image.shape[-1] == 1 else image
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))


def _probe(job: ReferenceJob, fitted: NDArray[np.int32], features: Features, context: WorkerContext) -> Probabilities:
    """What the fold run of the frozen preset's default point says, whichever preset is searched.

    `fitted`: rows of the fold's training rows. The features are those of the whole fold, which are at hand.
    """
    backbone = probed(context.facts.backbones)
    if backbone is None:
        raise ValueError("a linear probe needs a pre-trained network, and no weights are available")
    family, facts = FAMILIES["frozen"], replace(context.facts, backbones=(backbone,))
    fold = FoldJob(
        trial=0,
        repeat=0,
        fold=job.fold,
        params=family.space(facts).defaults(),
        train=job.train,
        validate=job.validate,
        seed=job.seed,
        training=FitOptions(),
    )
    assert family.frozen is not None  # noqa: S101 - that is what it has
    train, validate = features.of(family.frozen, facts, fold)
    rows = standardized(train[np.searchsorted(job.train, fitted)], validate)
    fold = replace(fold, train=fitted)
    return fit_head(family.frozen, rows, replace(context, facts=facts), fold, 0.0).probabilities

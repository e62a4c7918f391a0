"""Features of a pre-trained network that stays as it is, and a small head on them: most gain for the least time.

A fold run is seconds: the features are computed once for all trials, and only the head is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import Backbone
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import Value, When, boolean, choice, integer, real
from spaces.presets import dimensions
from spaces.recipe import Recipe, recipe_of
from spaces.space import Space

if TYPE_CHECKING:
    import keras

SUMMARY = "features of a pre-trained network and a head: logistic regression, SVM or dense layers"

_LOGISTIC, _SVM, _DENSE = ((When("head", (head,)),) for head in ("logistic", "svm", "dense"))
_CALIBRATION_FOLDS = 3  # within the training rows, from whose scores an SVM's probabilities are learned
_MAX_STEPS = 1000  # of L-BFGS


class UnfitError(ValueError):
    """A head that cannot be fitted on these rows: the point's fault, and nothing is broken."""


@dataclass(frozen=True)
class View:
    """What the backbone is shown of an image, and so what tells one set of features from another."""

    backbone: Backbone
    side: int  # pixels
    mirrored: bool

    @property
    def name(self) -> str:
        """For names of files: all that decides features but the pixels."""
        backbone, mirrored = self.backbone, "-mirrored" if self.mirrored else ""
        return f"{backbone.name}-{backbone.sha256[:16]}-{self.side}{mirrored}"

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of pixels [images, height, width, channels]; see `Backbone.features`."""
        return self.backbone.features(pixels, self.side, mirrored=self.mirrored)


def space(facts: Facts) -> Space:
    """The same for all pictures, but for the batches of the dense head and pictures whose detail was found to matter.

    A single backbone is no parameter.
    """
    batches = [b for b in (8, 16, 32, 64) if b <= max(8, facts.images // 10)]
    return Space(
        (
            *dimensions.backbone(facts, "pre-trained network whose features are used"),
            choice(
                "input_size",
                *dimensions.sides(facts),
                default=facts.side or 128,
                help="side in pixels to which images are resized for the backbone; costs its square",
                source="224 at most, the side on ImageNet; multiples of 32, as maps halve five times; 128 costs a "
                "third of 224. More, and more by default, where a comparison at the start found that they show more",
            ),
            choice(
                "stages",
                "all",
                "last",
                help="features of all stages of the backbone together, or of its last",
                source="all: as in Head2Toe (arXiv 2201.03529); last: the usual linear probe",
            ),
            *(
                (
                    boolean(
                        "flip_average",
                        default=True,
                        help="features averaged over the image and its mirror image",
                        source="as VGG averages predictions (arXiv 1409.1556); on, though it doubles the pass over the "
                        "images",
                    ),
                )
                if facts.flip
                else ()
            ),
            choice(
                "head",
                "logistic",
                "svm",
                "dense",
                help="what learns from the features; svm with an RBF kernel",
                source="logistic: arXiv 1805.08974; svm: arXiv 1403.6382, linear there; dense: one layer more",
            ),
            real(
                "c",
                1e-4,
                1e2,
                1e-1,
                log=True,
                limits=(1e-8, 1e8),
                when=_LOGISTIC,
                help="of logistic regression: inverse strength of its L2 penalty",
                source="scikit-learn's default 1.0; by default a tenth, and room below: many features, few images",
            ),
            real(
                "svm_c",
                1.0,
                1e3,
                100.0,
                log=True,
                limits=(1e-8, 1e8),
                when=_SVM,
                help="of the svm: cost of a training image on the wrong side",
                source="scikit-learn's default 1.0 at least; inside the grid of Hsu, Chang and Lin 2003; 100 is a "
                "guess",
            ),
            real(
                "gamma",
                1e-2,
                1.0,
                0.1,
                log=True,
                limits=(1e-6, 1e3),
                when=_SVM,
                help="of the svm: how fast its kernel falls with distance, times the number of features",
                source="1.0 is scikit-learn's gamma 'auto', 1 / features; down to a hundredth of it: a guess",
            ),
            integer(
                "dense_units",
                32,
                512,
                128,
                log=True,
                limits=(1, 4096),
                when=_DENSE,
                help="units of the dense layer before the output",
                source="a guess: wide enough that a best value at its end would show",
            ),
            real(
                "dropout",
                0.0,
                0.7,
                0.3,
                step=0.1,
                limits=(0.0, 0.95),
                when=_DENSE,
                help="before both dense layers",
                source="0.5 in Srivastava et al. 2014, a little more at most; 0.3 is a guess",
            ),
            real(
                "learning_rate",
                1e-4,
                1e-2,
                1e-3,
                log=True,
                limits=(1e-7, 10.0),
                when=_DENSE,
                help="of the dense head; adam",
                source="Keras's default 0.001, a factor of 10 either way",
            ),
            choice(
                "batch_size",
                *batches,
                default=min(16, batches[-1]),
                known=(8, 16, 32, 64, 128),
                when=_DENSE,
                help="images a step of the dense head",
                source="practice on small data: a tenth of the images at most; 2 to 32 did best in arXiv 1804.07612",
            ),
            *dimensions.class_weights(facts),
        )
    )


def backbone(params: Mapping[str, Value], facts: Facts) -> Backbone:
    """The backbone of a point: the one that it names, else the only one available. Raises ValueError without one."""
    name = params.get("backbone")
    for found in facts.backbones:
        if name in (None, found.name):
            return found
    raise ValueError(f"the backbone {name or 'of this point'} is not at hand")


def views(params: Mapping[str, Value], facts: Facts) -> tuple[View, ...]:
    """The views of an image over which a point averages features."""
    chosen, side = backbone(params, facts), int(params["input_size"])
    sides = (False, True) if params.get("flip_average") else (False,)
    return tuple(View(chosen, side, mirrored) for mirrored in sides)


def columns(params: Mapping[str, Value], facts: Facts) -> slice:
    """The columns of a view's features that a point uses."""
    widths = backbone(params, facts).widths
    return slice(0 if params["stages"] == "all" else sum(widths[:-1]), sum(widths))


def trains(params: Mapping[str, Value]) -> bool:
    """Whether the head is a network, trained in epochs, rather than fitted at once."""
    return params["head"] == "dense"


def network(params: Mapping[str, Value], facts: Facts) -> keras.Model:
    """The dense head, not compiled, on standardised features [batch, width]."""
    import keras  # heavy, and only workers build models

    from spaces.presets import parts

    inputs = keras.Input((pooled_width(params, facts),))
    x = keras.layers.Dropout(float(params["dropout"]))(inputs)
    x = keras.layers.Dense(int(params["dense_units"]), "relu", kernel_initializer=parts.initializer("he_normal"))(x)
    x = keras.layers.Dropout(float(params["dropout"]))(x)
    return keras.Model(inputs, parts.output(x, "softmax", facts.classes))


def optimizer(params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """Adam, of the dense head."""
    import keras

    return keras.optimizers.Adam(float(params["learning_rate"]))


def recipe(params: Mapping[str, Value], facts: Facts) -> Recipe:
    """Of the dense head; its features are averaged over the flip already."""
    return replace(recipe_of(params, facts), flip_average=False)


def fit(params: Mapping[str, Value], train: NDArray[np.float32], labels: NDArray[np.int16], seed: int) -> Any:
    """Logistic regression or an SVM of scikit-learn, fitted on standardised features [rows, width].

    Raises UnfitError where all rows are of one class, or for an SVM one class has a single row.
    """
    from threadpoolctl import threadpool_limits

    if len(np.unique(labels)) < 2:
        raise UnfitError("a head learns to tell classes apart; all training images are of one class")
    weights = row_weights(params, labels)
    with threadpool_limits(1):  # one thread a worker; and sums keep their order
        model = _logistic(params) if params["head"] == "logistic" else _svm(params, train.shape[1], labels, seed)
        return model.fit(train, labels, sample_weight=weights)


def row_weights(params: Mapping[str, Value], labels: NDArray[np.int16]) -> NDArray[np.float64] | None:
    """[rows] weights by which every class there counts the same, their mean being 1; None where a point wants none.

    As weights of rows they reach the sigmoids of an SVM too, which would undo weights of classes.
    """
    from sklearn.utils.class_weight import compute_sample_weight  # heavy, and only workers fit heads

    if params.get("class_weights") != "balanced":
        return None
    weights: NDArray[np.float64] = compute_sample_weight("balanced", labels)
    return weights


def predict_proba(model: Any, rows: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    """[rows, classes] probabilities of a fitted head; a class that it was not shown gets 0."""
    from threadpoolctl import threadpool_limits

    probabilities = np.zeros((len(rows), classes), np.float32)
    with threadpool_limits(1):
        probabilities[:, model.classes_.astype(int)] = model.predict_proba(rows)
    return probabilities


def layers(params: Mapping[str, Value], facts: Facts) -> tuple[Layer, ...]:
    """Backbone, pooling and head, as the report draws them."""
    side, width = int(params["input_size"]), pooled_width(params, facts)
    how = "each map of all stages" if params["stages"] == "all" else "the last map"
    how += ", image and mirror image" if params.get("flip_average") else ""
    return (
        Layer("image", "InputLayer", facts.shape, 0, ""),
        *backbone(params, facts).layers(side),
        Layer("features", "GlobalAveragePooling2D", (width,), 0, f"{how}, averaged"),
        Layer("standardized", "Normalization", (width,), 2 * width, "mean and deviation of the training images"),
        *_head_layers(params, facts, width),
    )


def _head_layers(params: Mapping[str, Value], facts: Facts, width: int) -> tuple[Layer, ...]:
    classes, shape = facts.classes, (facts.classes,)
    if params["head"] == "svm":
        # Its own numbers: for each pair of classes a bias, for each image at most classes - 1 coefficients.
        numbers = facts.images * (classes - 1) + classes * (classes - 1) // 2
        return (Layer("svm", "SVC", shape, numbers, f"RBF kernel, {_svm_words(params, width)}"),)
    if params["head"] == "logistic":
        detail = f"C {float(params['c']):.3g}"
        return (Layer("logistic", "LogisticRegression", shape, (width + 1) * classes, detail),)
    units, dropout = int(params["dense_units"]), f"dropout {float(params['dropout']):g} before it"
    return (
        Layer("dense", "Dense", (units,), (width + 1) * units, f"{units} units, relu, {dropout}"),
        Layer("output", "Dense", shape, (units + 1) * classes, f"{classes} units, softmax, {dropout}"),
    )


def _svm_words(params: Mapping[str, Value], width: int) -> str:
    return f"C {float(params['svm_c']):.3g}, gamma {float(params['gamma']):.3g} / {width}"


def pooled_width(params: Mapping[str, Value], facts: Facts) -> int:
    """How many features a point's head sees."""
    widths = backbone(params, facts).widths
    return sum(widths) if params["stages"] == "all" else widths[-1]


def _logistic(params: Mapping[str, Value]) -> Any:
    """L-BFGS begins at zero: no chance in it."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=float(params["c"]), max_iter=_MAX_STEPS)


def _svm(params: Mapping[str, Value], width: int, labels: NDArray[np.int16], seed: int) -> Any:
    """Its scores become probabilities by sigmoids that are learned from scores of rows it was not fitted on."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import SVC

    counts = np.bincount(labels)
    folds = min(_CALIBRATION_FOLDS, int(counts[counts > 0].min()))
    if folds < 2:
        raise UnfitError("an svm's probabilities need two training images of each class; one has a single image")
    inner = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    machine = SVC(C=float(params["svm_c"]), gamma=float(params["gamma"]) / width)
    return CalibratedClassifierCV(machine, method="sigmoid", cv=inner, ensemble=False)

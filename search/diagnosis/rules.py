"""Why a network does not learn: symptoms by comparison with chance, and causes from evidence. Pure.

Rules from AutoTrainer and DeepLocalize (both ICSE 2021) and UMLAUT (CHI 2021). The thresholds leave slow networks
alone: at an early epoch a network is stopped only for a cause that more epochs do not cure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.diagnosis.evidence import (
    BROKEN,
    BY_HEART,
    ONE_CLASS,
    STUCK,
    UNSURE,
    Cause,
    Diagnosis,
    EpochSnapshot,
    Evidence,
    LayerEvidence,
    OutputStats,
    Symptom,
)

# Losses are compared with the prior entropy, that of the class shares.
LOOKS = (3, 5, 10)  # epochs after which a fold run is inspected; it is also inspected at its end
LONG_ENOUGH = 8  # epochs: a run of at least so many that ends at chance is stuck, whatever the cause
NEAR_FLOOR = 0.98  # training loss / prior entropy: at or above it nothing was learned
SAME_ANSWER = 1e-3  # standard deviation over images of each class's probability: below it all predictions are the same
FAR_ABOVE = 3.0  # training loss / prior entropy: above it the network is much worse than a guess
RANKED = 0.65  # AUROC on training images: at or above it the network learns, though it predicts one class
MANY_STEPS = 300  # of the optimizer: the same prediction for all images after so many is no slow start
WORTH_NAMING = 0.2  # smallest strength of a cause that is named
VAGUE = 0.25  # strength of "no known cause"
VANISHING, VANISHING_RATIO, EXPLODING = 1e-4, 1e-3, 70.0  # gradient norms: first layer, first / last, any layer
DEAD = 0.7  # share of a layer's ReLU units that are 0 for every image

SURER = 0.95  # validation loss / prior entropy: below it the network generalizes
KNOWN = 0.9  # balanced accuracy on training images: at or above it they may be memorized
KNOWN_LOSS = 0.5  # training loss / prior entropy: at or below it the images may be memorized
STRONG = 0.9  # smallest strength of a cause that is named although predictions are clearly better than guessing

LABELS, UNKNOWN = "labels, or too few images", "no known cause"
UNEXPLAINED = (LABELS, UNKNOWN, "labels do not follow from images")  # the last occurs in older studies
"""Causes that the network alone cannot prove; see `unexplained`."""

PLAIN_WORDS = {
    "logistic_regression": "logistic regression on pixels",
    "linear_probe": "linear probe on a pre-trained network",
}
"""Plain methods that can learn, by the name of their reference."""


@dataclass(frozen=True)
class Plain:
    """The score of a plain method, independent of the network, on the same folds."""

    name: str  # for people
    accuracy: float  # balanced
    images: int  # number of images that it was tested on


def inspect_after(epoch: int, *, ended: bool) -> bool:
    """Whether a fold run is inspected after this epoch (1-based)."""
    return ended or epoch in LOOKS


def clearly_above(accuracy: float, classes: int, images: int) -> bool:
    """Whether a balanced accuracy is more than 2.5 standard errors above that of guessing among `classes`."""
    chance = 1 / max(classes, 1)
    return accuracy > chance + 2.5 * math.sqrt(chance * (1 - chance) / max(images, 1))


def known_by_heart(accuracy: float, log_loss: float, floor: float) -> bool:
    """Whether the training images are memorized, not only classified better than by guessing.

    `log_loss` on them in nats, without penalties, NaN if it is not known; `floor` as in EpochSnapshot.
    """
    return accuracy >= KNOWN and not log_loss > KNOWN_LOSS * floor


def unexplained(symptom: str, plain: Plain | None = None, classes: int = 0) -> Cause:
    """The cause if the network has no evidence for one. Labels are in doubt only if no plain method learns from them.

    `plain`: the best plain method, None if none is known.
    """
    learned = symptom in (BY_HEART, UNSURE)
    strength = 0.9 if symptom == BY_HEART else 0.5 if learned else VAGUE
    nothing = "what it learned holds for no other images" if learned else "nothing that is looked at speaks for one"
    check = "check that images lie in the folders of their classes"
    reaches = f"{plain.name} reaches {plain.accuracy:.2f} on the same folds" if plain else ""
    if plain and clearly_above(plain.accuracy, classes, plain.images):
        name = "too few images for this network" if learned else UNKNOWN
        smaller = "a smaller network, augmentation, or one that is trained already: search run --preset frozen"
        change = smaller if learned else "change one thing at a time: search diagnose"
        return Cause(name, f"{nothing}, yet it can be learned from these images: {reaches}", change, strength)
    if plain:
        return Cause(LABELS, f"plain methods find nothing that holds either: {reaches}", check, max(strength, 0.5))
    if learned:
        why = "too few images for this network, or labels that do not follow from them"
        return Cause(LABELS, f"{nothing}: {why}", f"{check}; if they do, a smaller network or more images", strength)
    return Cause(UNKNOWN, f"{nothing}; perhaps the images do not tell the classes apart", check, strength)


def needs_inspection(snapshot: EpochSnapshot) -> bool:
    """Whether the network must be inspected. That takes time, so a network that learns is not inspected."""
    if snapshot.classes < 2 or not clearly_above(snapshot.accuracy, snapshot.classes, snapshot.images):
        return True
    return snapshot.ended and (_by_heart(snapshot, math.nan) or _unsure(snapshot))


def symptom_of(snapshot: EpochSnapshot, answers: OutputStats) -> Symptom | None:
    """The symptom at this epoch, if there is one. `answers` are the predictions for training images."""
    if not math.isfinite(snapshot.losses[-1]) or not math.isfinite(answers.log_loss):
        return Symptom(BROKEN, (f"the loss is {snapshot.losses[-1]:g} in epoch {snapshot.epoch}",))
    if snapshot.classes < 2:
        return Symptom(ONE_CLASS, ("all training images are of one class",))
    learned = clearly_above(snapshot.accuracy, snapshot.classes, snapshot.images)
    if learned or answers.log_loss < NEAR_FLOOR * snapshot.floor:
        return _at_the_end(snapshot, answers) if snapshot.ended else None
    signs = [
        f"after {snapshot.epoch} epochs the training loss without penalties is {answers.log_loss:.4f}, "
        f"where a guess by class shares has {snapshot.floor:.4f}"
    ]
    if answers.predicted == 1:
        signs.append("one class is predicted for all images")
    if answers.spread < SAME_ANSWER:
        signs.append(f"every image gets the same answer: probabilities differ by {answers.spread:.1g}")
    return Symptom(STUCK, tuple(signs))


def diagnosis_of(
    symptom: Symptom, snapshot: EpochSnapshot, answers: OutputStats, evidence: Evidence
) -> Diagnosis | None:
    """The causes of a symptom; None if it is too early to say that something is wrong."""
    suspects = (*causes(symptom, evidence, snapshot.losses),)
    collapsed = symptom.name in (BROKEN, ONE_CLASS) or (
        symptom.name == STUCK and _hopeless(snapshot, answers, suspects, evidence.steps)
    )
    if symptom.name == STUCK and not collapsed:
        final = _at_the_end(snapshot, answers) if snapshot.ended else None
        return diagnosis_of(final, snapshot, answers, evidence) if final else None
    if symptom.name == UNSURE and _right(snapshot) and suspects[0].strength < STRONG:
        return None
    signs = (*symptom.signs, *gradient_signs(evidence.layers))
    return Diagnosis(Symptom(symptom.name, signs), suspects, collapsed, evidence)


def gradient_signs(layers: Sequence[LayerEvidence]) -> Iterator[str]:
    """Sentences on gradients and dead units."""
    trained = [layer for layer in layers if layer.gradient is not None]
    if _vanishing(trained):
        yield f"gradients vanish: {trained[0].gradient:.1g} in the first layer, {trained[-1].gradient:.1g} in the last"
    largest = max((layer.gradient or 0.0 for layer in trained), default=0.0)
    if largest > EXPLODING or not math.isfinite(largest):
        yield f"gradients explode: {largest:.3g}"
    for layer in layers:
        if layer.dead is not None and layer.dead >= DEAD:
            yield f"{layer.dead:.0%} of the ReLU units of {layer.name} are 0 for every image"


def causes(symptom: Symptom, evidence: Evidence, losses: Sequence[float]) -> tuple[Cause, ...]:
    """The causes to name, the likeliest first, equal ones in the order of the rules. There is at least one."""
    rules = [
        *evidence.found,
        *_of_data(symptom, evidence),
        *_of_initial_weights(evidence),
        *_of_dead_units(evidence),
        *_of_penalties(evidence),
        *_of_learning_rate(symptom, evidence, losses),
        *_of_dropout(evidence),
        *_of_gradients(evidence),
        *_of_nothing_else(symptom, evidence),
    ]
    known: dict[str, Cause] = {}
    for cause in sorted(rules, key=lambda cause: -cause.strength):
        if cause.strength >= WORTH_NAMING or not known:
            known.setdefault(cause.name, cause)
    return tuple(known.values())


def _at_the_end(snapshot: EpochSnapshot, answers: OutputStats) -> Symptom | None:
    """The symptom of a network that learned something, perhaps only its training images; None if it has none."""
    if _by_heart(snapshot, answers.log_loss):
        sign = f"accuracy is {snapshot.accuracy:.2f} on training images and {snapshot.validation:.2f} on others"
        return Symptom(BY_HEART, (sign,))
    if _unsure(snapshot):
        sign = (
            f"the loss on other images never fell below {snapshot.least:.4f}, where a guess by class shares has "
            f"{snapshot.floor:.4f}; accuracy there is {snapshot.best:.2f}"
        )
        return Symptom(UNSURE, (sign,))
    return None


def _unsure(snapshot: EpochSnapshot) -> bool:
    """Whether the network does not generalize. The loss shows that better than the accuracy on few images."""
    return snapshot.epoch >= LONG_ENOUGH and snapshot.classes > 1 and snapshot.least >= SURER * snapshot.floor


def _right(snapshot: EpochSnapshot) -> bool:
    """Whether the validation accuracy is clearly better than guessing, at the best epoch or now."""
    return clearly_above(max(snapshot.validation, snapshot.best), snapshot.classes, snapshot.validated)


def _by_heart(snapshot: EpochSnapshot, log_loss: float) -> bool:
    """Whether the training images, with the loss `log_loss`, are memorized, and validation is no better than chance."""
    validation, margin = max(snapshot.validation, snapshot.best), 1 / math.sqrt(4 * max(snapshot.validated, 1))
    return (
        snapshot.epoch >= LONG_ENOUGH
        and snapshot.classes > 1
        and clearly_above(snapshot.accuracy, snapshot.classes, snapshot.images)
        and known_by_heart(snapshot.accuracy, log_loss, snapshot.floor)
        and not validation > 1 / snapshot.classes + margin
    )


def _hopeless(snapshot: EpochSnapshot, answers: OutputStats, suspects: Sequence[Cause], steps: int) -> bool:
    """Whether a network at chance will stay there. At an early epoch only a lasting cause shows that."""
    lasting, ended = any(cause.lasting for cause in suspects), snapshot.ended and snapshot.epoch >= LONG_ENOUGH
    one_answer = answers.spread < SAME_ANSWER or (answers.predicted == 1 and not answers.auroc >= RANKED)
    if lasting:
        return ended or snapshot.epoch >= LOOKS[-1] or one_answer or answers.log_loss > FAR_ABOVE * snapshot.floor
    if _right(snapshot):
        return False
    return ended or (snapshot.epoch >= LOOKS[-1] and steps >= MANY_STEPS and answers.spread < SAME_ANSWER)


def _of_data(symptom: Symptom, evidence: Evidence) -> Iterator[Cause]:
    if symptom.name == ONE_CLASS:
        yield Cause(
            "one class",
            "there is nothing to tell apart",
            "give every class a folder with images of its own",
            1,
            lasting=True,
        )
    if symptom.name in (BY_HEART, UNSURE):
        yield unexplained(symptom.name)
    size, spread = evidence.input_size, evidence.input_spread
    lost = not spread > 1e-4 * max(size if math.isfinite(size) else 1.0, 1e-9)
    yield from _of_frozen_layers(evidence, lost=lost)
    if not evidence.image_spread > 1e-4:
        yield Cause(
            "constant images",
            "all images are the same to the network",
            "look at the images themselves",
            1,
            lasting=True,
        )
    elif not lost:
        yield from scale_causes(size)


def _of_frozen_layers(evidence: Evidence, *, lost: bool) -> Iterator[Cause]:
    """Causes in the layers before the first trained one; `lost`: whether all images are the same after them."""
    first = next((n for n, layer in enumerate(evidence.layers) if layer.gradient is not None), 0)
    front = evidence.layers[:first]
    left = f"{evidence.input_spread / evidence.image_spread:.1g}" if evidence.image_spread > 0 else "0"
    remains = f"{left} of how images differ is left after {front[-1].name}" if front else f"{left} of it is left"
    untrained = [layer.name for layer in front if layer.untrained]
    if untrained:
        yield Cause(
            "frozen layers were never trained",
            f"{untrained[0]} has the weights that it was made with, and trainable = False; {remains}",
            'weights="imagenet" there, or trainable = True',
            1 if lost else 0.6,
            lasting=lost,
        )
    elif lost and evidence.image_spread > 1e-4:
        yield Cause(
            "images lost before what is trained",
            f"images do differ, and to the first layer that is trained they are the same: {remains}",
            "look at what comes before it: how it scales pixels, and which weights it has",
            1,
            lasting=True,
        )


def scale_causes(size: float) -> Iterator[Cause]:
    """Causes from `size`, the root mean square of the first trained layer's input; NaN: it is normalised there."""
    if size > 20:
        yield Cause(
            "inputs not scaled",
            f"the first layer is given numbers of about {size:.0f}",
            "put keras.layers.Rescaling(1 / 255) first",
            0.93,
        )
    elif size < 0.01:
        yield Cause(
            "inputs scaled twice",
            f"the first layer is given numbers of about {size:.1g}: pixels were divided by 255 more than once",
            "remove one of the divisions by 255 (a model without Rescaling is given 0..1)",
            0.93,
        )


def _of_initial_weights(evidence: Evidence) -> Iterator[Cause]:
    zero = [layer.name for layer in evidence.layers if layer.zero_at_start]
    if zero:
        yield Cause(
            "initial weights are zero",
            f"those of {', '.join(zero[:3])}, so all units stay alike and nothing reaches them on the way back",
            'kernel_initializer="glorot_uniform"',
            1,
            lasting=True,
        )
        return
    hidden = [layer for layer in evidence.layers[:-1] if layer.spread_at_start is not None]
    if not hidden or not evidence.input_spread > 0:
        return
    kept = (hidden[-1].spread_at_start or 0.0) / evidence.input_spread
    weighty = [layer.name for layer in hidden if layer.gradient is not None]
    if kept < 0.05 and not any((layer.dead_at_start or 0.0) >= DEAD for layer in hidden):
        yield Cause(
            "initial weights too small",
            f"at the start {kept:.1g} of the signal, how images differ, is left after "
            f"{(weighty or [hidden[-1].name])[-1]}, the last of {len(weighty)} hidden layers with weights",
            'kernel_initializer="glorot_uniform", or fewer layers',
            0.9 if kept < 0.01 else 0.6,
        )
    elif kept > 1e3:
        yield Cause(
            "initial weights too large",
            f"at the start {hidden[-1].name} gives {kept:.1g} times the spread of the images",
            'kernel_initializer="glorot_uniform"',
            0.9,
        )


def _of_dead_units(evidence: Evidence) -> Iterator[Cause]:
    for layer in evidence.layers:
        if (layer.dead_at_start or 0.0) >= DEAD:
            yield Cause(
                "dead ReLU",
                f"{layer.dead_at_start:.0%} of the units of {layer.name} are 0 for every image from the start",
                'bias_initializer="zeros"',
                0.95,
                lasting=layer.dead_at_start == 1,
            )
            return
        if (layer.dead or 0.0) >= DEAD:
            yield Cause(
                "dead ReLU",
                f"{layer.dead:.0%} of the units of {layer.name} became 0 for every image",
                'a smaller learning rate, or activation="leaky_relu"',
                0.75,
            )
            return


def _of_penalties(evidence: Evidence) -> Iterator[Cause]:
    most = max(p for p in (evidence.penalty, evidence.penalty_at_start, 0.0) if math.isfinite(p))
    share = most / (most + evidence.floor) if most else 0.0
    if most > 0:
        yield Cause(
            "regularisation too strong",
            f"penalties are {share:.0%} of the loss" + (" at the start" if most == evidence.penalty_at_start else ""),
            "a tenth of l2, or none",
            0.94 if share > 0.9 else 0.85 if share > 0.6 else share,
        )


def _of_learning_rate(symptom: Symptom, evidence: Evidence, losses: Sequence[float]) -> Iterator[Cause]:
    moves = [layer.moved for layer in evidence.layers if layer.moved is not None]
    rate = "" if math.isnan(evidence.learning_rate) else f"learning_rate {evidence.learning_rate:g}: "
    moved = max(moves, default=math.nan)
    largest = max((loss for loss in losses if not math.isnan(loss)), default=math.nan)
    jumped = largest > 10 * evidence.floor + evidence.penalty_at_start
    broken = symptom.name == BROKEN or not all(math.isfinite(move) for move in moves)
    if broken or moved > 3 or jumped:
        how = "out of the finite numbers" if not math.isfinite(moved) else f"by {moved:.2g} times their size"
        yield Cause(
            "learning rate too large",
            f"{rate}weights moved {how}, and the largest loss is {largest:.3g}",
            "a hundredth of the learning rate",
            0.94 if moved > 30 or (broken and jumped) else 0.9 if broken else 0.7,
            lasting=broken or moved > 30,
        )
    gradient = max((layer.gradient or 0.0 for layer in evidence.layers), default=0.0)
    if moved < 5e-3 and gradient > 1e-7:
        yield Cause(
            "learning rate too small",
            f"{rate}in {evidence.steps} steps weights moved by {moved:.1g} of their size",
            "a learning rate of 0.001 with Adam, of 0.01 with SGD",
            0.95 if moved < 1e-4 else 0.5,
            lasting=moved < 1e-4,
        )


def _of_dropout(evidence: Evidence) -> Iterator[Cause]:
    rates = [layer.dropout for layer in evidence.layers if layer.dropout]
    if rates:
        left = math.prod(1 - rate for rate in rates)
        yield Cause(
            "dropout too strong",
            f"{len(rates)} layers drop up to {max(rates):.0%} of their input; {left:.1%} of all paths are left",
            "dropout 0, until it learns",
            0.92 if max(rates) >= 0.9 else 0.6 if max(rates) >= 0.7 else 0.5 * (1 - left),
        )


def _of_gradients(evidence: Evidence) -> Iterator[Cause]:
    trained = [layer for layer in evidence.layers if layer.gradient is not None]
    if _vanishing(trained):
        yield Cause(
            "gradients vanish",
            f"{trained[0].gradient:.1g} reaches {trained[0].name}, of {trained[-1].gradient:.1g} in {trained[-1].name}",
            "batch normalisation after each layer, or fewer layers",
            0.65,
        )


def _of_nothing_else(symptom: Symptom, evidence: Evidence) -> Iterator[Cause]:
    if symptom.name not in (BY_HEART, UNSURE):
        yield unexplained(symptom.name)
    if evidence.steps < 100:
        yield Cause(
            "trained too short", f"{evidence.steps} steps of the optimizer in all", "smaller batches, more epochs", 0.3
        )


def _vanishing(trained: Sequence[LayerEvidence]) -> bool:
    if len(trained) < 2:
        return False
    first, last = trained[0].gradient or 0.0, trained[-1].gradient or 0.0
    return first < VANISHING and first < VANISHING_RATIO * last

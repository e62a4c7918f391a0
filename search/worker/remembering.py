"""What a model's file remembers of its training images: see `search/stats/unlike.py`. For workers only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from search.jobs import RefitJob, probed
from search.manifest import Known, Outside, Remembered
from search.stats.unlike import MOST, limits
from search.worker.features import Features
from spaces.backbones.lite import Lite
from spaces.facts import Facts
from spaces.presets import FAMILIES, FrozenFeatures


def by_layer(layer: str, job: RefitJob, features: Features, frozen: FrozenFeatures, facts: Facts) -> Remembered | None:
    """What a head on frozen features remembers, whose model gets them in `layer`; None where nothing is asked for.

    None also of images of one fold, as where two folds' networks are used: none is of another, to compare them with.
    """
    if job.folds is None or len(np.unique(job.folds)) < 2:
        return None
    point, backbone = job.fold, frozen.backbone(job.fold.params, facts)
    top = features.of(frozen, facts, point)[0][:, -backbone.widths[-1] :]
    rows = np.sort(np.random.default_rng(point.seed).permutation(len(job.folds))[:MOST])
    largest = np.finfo(np.float16).max
    both = [
        np.clip(seen[rows], -largest, largest).astype(np.float16)
        for seen in (top, features.style(frozen, facts, point))
    ]
    of_top, of_style = map(Known, limits(both, job.folds[rows]), both)
    return Remembered(layer, of_top, backbone.style_map, of_style)


def by_probe(job: RefitJob, features: Features, facts: Facts) -> Remembered | None:
    """What any other model remembers: what the linear probe sees. None where there was no probe.

    Only by a network that a package brings, since it is not in the model's file.
    """
    backbone, family = probed(facts.backbones), FAMILIES["frozen"]
    if not (job.probed and isinstance(backbone, Lite) and family.frozen):
        return None
    facts = replace(facts, backbones=(backbone,))
    job = replace(job, fold=replace(job.fold, params=family.space(facts).defaults()))
    views = family.frozen.views(job.fold.params, facts)
    found = by_layer("", job, features, family.frozen, facts)
    outside = Outside(backbone.sha256, views[0].side, mirrored=len(views) > 1)
    return replace(found, outside=outside) if found else None

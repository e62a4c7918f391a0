"""The settings of an outer fold, whose folder is two levels below the study's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from search.session.nested import outer_folds
from search.study.folder import StudyFolder
from search.study.prepared import Prepared


def test_what_is_no_path_relative_to_the_study_stays_as_it_is(prepared: Prepared, tmp_path: Path) -> None:
    weights = {
        "vgg16": "keras",
        "vit": "hub:vit_base_patch16_224_imagenet21k",
        "dino": "~/dinov2-small",
        "mine": "../mine",
        "theirs": "/srv/theirs",
    }
    config = prepared.config.model_copy(update={"nested": True, "weights": weights, "images": "../pictures"})
    for outer in outer_folds(StudyFolder(tmp_path / "study"), replace(prepared, config=config)):
        assert outer.config.weights == weights | {"mine": "../../../mine"}
        assert outer.config.images == "../../../pictures"

"""A study with a network of a folder of Hugging Face: named, checked, remembered, searched and exported."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from search.commands.request import Settings
from search.errors import UsageError
from search.session.prepare import prepare
from search.study.available_backbones import find_backbones
from search.study.config import Config, parse
from spaces import Choice
from spaces.backbones.folder import FolderBackbone
from tests.commands import search, search_here, trials_of
from tests.pictures import make_pictures
from tests.spaces.hub import make_preset
from tests.spaces.hugging_face import CONFIGS, make_folder


def config(**values: Any) -> Config:
    return Config(images="../shapes", preset="frozen", folds=3, **values)


@pytest.fixture
def study(pictures: Path, tmp_path: Path) -> Path:
    """A study's folder beside the pictures and a folder with a network."""
    shutil.copytree(pictures, tmp_path / "shapes")
    make_folder(tmp_path / "Tiny-ViT", CONFIGS["vit"])
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.mark.usefixtures("no_package")
def test_a_folder_named_in_weights_is_a_backbone_under_its_name(study: Path) -> None:
    available = find_backbones(config(weights={"tiny": "../Tiny-ViT"}), study)
    (backbone,) = available.backbones
    assert isinstance(backbone, FolderBackbone)
    assert (backbone.name, backbone.title, backbone.path) == ("tiny", "ViT of Tiny-ViT", study.parent / "Tiny-ViT")
    assert available.remarks[0].startswith(f"weights of ViT of Tiny-ViT: SHA-256 {backbone.sha256[:16]}…, ")
    prepared = prepare(config(weights={"tiny": "../Tiny-ViT", "again": "../Tiny-ViT"}), study)
    parameter = prepared.space.by_name["backbone"]
    assert isinstance(parameter, Choice) and parameter.values == ("tiny", "again")
    assert prepared.identity["weights"] == dict.fromkeys(("tiny", "again"), backbone.sha256)


@pytest.mark.usefixtures("no_package")
def test_what_is_no_such_folder_is_refused(study: Path) -> None:
    (study.parent / "Tiny-ViT" / "config.json").write_text('{"model_type": "bert"}')
    for weights, words in (
        ({"tiny": "../Tiny-ViT"}, "weights.tiny: .*config.json is of type 'bert'; .*; correct it in study.toml"),
        (
            {"tiny": "../shapes"},
            "weights.tiny: .*shapes is no folder with a config.json; a file of weights needs a name",
        ),
        ({"vgg19": "../nowhere"}, "weights.vgg19: .*nowhere does not exist"),
        ({"vgg19": "study.toml"}, "needs a name of .*; did you mean 'vgg16'"),
    ):
        (study / "study.toml").touch()
        with pytest.raises(UsageError, match=words):
            find_backbones(config(weights=weights), study)
    with pytest.raises(UsageError, match=r"preset frozen: tiny: its folder is not in \[weights\] of study.toml"):
        find_backbones(config(), study, ("tiny",))


@pytest.mark.parametrize("name", ["Tiny", "a-b", "9", "lite0", "x" * 41, ""])
def test_names_of_folders_are_plain(name: str) -> None:
    with pytest.raises(UsageError, match="must be one of convnext_tiny"):
        parse({"images": "x", "weights": {name: "folder"}}, "study.toml")


def test_the_option_takes_names_and_folders(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.parent)
    assert Settings(backbones=("lite0", "Tiny-ViT", "lite0")).changes == {
        "space.backbone": ["lite0", "tiny_vit"],
        "weights.tiny_vit": str(study.parent / "Tiny-ViT"),
    }
    for wrong in ("shapes", "./nowhere"):
        with pytest.raises(UsageError, match=f"--backbone {wrong}: .* has no config.json"):
            _ = Settings(backbones=(wrong,)).changes


@pytest.mark.slow
def test_a_search_with_folders_of_both_kinds_from_end_to_end(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", classes={"left": 8, "top": 8}, size=8)
    make_folder(tmp_path / "tiny", CONFIGS["dinov2"])
    make_preset(tmp_path / "preset", "DINOV3Backbone")
    options = ("--preset", "frozen", "--trials", "2", "--folds", "2", "--workers", "1", "--dir", "study")
    ran = search("run", "shapes", "--backbone", "tiny", "--backbone", "preset", *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "weights of DINOv2 of tiny: SHA-256 " in ran.stdout
    assert "weights of DINOv3 of preset: SHA-256 " in ran.stdout
    assert [str(trial.state) for trial in trials_of(tmp_path / "study")] == ["complete", "complete"]
    exported = search_here("export", "study", "--to", "model.keras", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    said = search_here("predict", "model.keras", "shapes", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    with (tmp_path / "tiny" / "config.json").open("a") as file:
        file.write(" ")
    refused = search("run", "study", "--trials", "3", cwd=tmp_path)
    assert refused.returncode == 2
    assert "weights.tiny: the study has " in refused.stderr


# Presets of keras-hub


def test_the_option_takes_presets_by_name_and_folders_of_them(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_preset(tmp_path / "tiny", "ViTBackbone")
    assert Settings(backbones=("hub:vit_base_patch16_224_imagenet21k", "tiny", "hub:vgg16")).changes == {
        "space.backbone": ["vit_base_patch16_224_imagenet21k", "tiny", "vgg16_folder"],
        "weights.vit_base_patch16_224_imagenet21k": "hub:vit_base_patch16_224_imagenet21k",
        "weights.tiny": str(tmp_path / "tiny"),
        "weights.vgg16_folder": "hub:vgg16",
    }
    assert study.is_dir()


@pytest.mark.usefixtures("no_package")
def test_a_preset_by_name_is_that_of_the_cache_and_its_checksum_belongs_to_the_study(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    make_preset(tmp_path / "models" / "hub" / "vit_tiny", "ViTBackbone")
    prepared = prepare(config(weights={"vit": "hub:vit_tiny"}), study)
    (backbone,) = prepared.facts.backbones
    assert prepared.identity["weights"] == {"vit": backbone.sha256}
    assert isinstance(backbone, FolderBackbone) and backbone.title == "ViT of vit_tiny"


def test_a_preset_that_cannot_be_downloaded_is_refused_with_what_to_do(study: Path) -> None:
    with pytest.raises(UsageError, match=r"weights.vit: 'hub:../vit' is no preset .*; it is written hub:NAME"):
        find_backbones(config(weights={"vit": "hub:../vit"}), study)
    if importlib.util.find_spec("keras_hub") is None:
        with pytest.raises(UsageError, match=r"weights.vit: hub:vit_tiny .* pip install 'keras-hub>=0.32'"):
            find_backbones(config(weights={"vit": "hub:vit_tiny"}), study)

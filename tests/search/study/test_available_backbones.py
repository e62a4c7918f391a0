"""Which backbones a study has: at hand, asked for, remembered; and a search with one of a file, from end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
import tomlkit

from search.errors import UsageError
from search.session.prepare import prepare
from search.study.available_backbones import AvailableBackbones, find_backbones
from search.study.config import Config
from search.study.database import create, open_begun
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.describe import describe_frozen
from spaces import Choice
from spaces.backbones.applications import ARCHITECTURES, Application, cached
from spaces.backbones.lite import LITE0, PACKAGED, Lite
from spaces.presets import FAMILIES
from storage import RunRecord, TrialRecord
from storage.records import Origin
from tests.commands import search, trials_of
from tests.pictures import make_pictures

NAME = "mobilenetv3_large"


def config(**values: Any) -> Config:
    return Config(images="../shapes", preset="frozen", folds=3, **values)


@pytest.fixture
def study(pictures: Path, weights: Path, tmp_path: Path) -> Path:
    """A study's folder that has the file of weights in it, beside the pictures."""
    shutil.copytree(pictures, tmp_path / "shapes")
    (tmp_path / "study").mkdir()
    shutil.copy(weights, tmp_path / "study" / "mobile.weights.h5")
    return tmp_path / "study"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if that of Lite0 alone were installed, whether it is or not: here nobody loads what is in it."""
    monkeypatch.setattr(Lite, "problem", lambda self: None if self.name == "lite0" else "it is not installed")


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if both were."""
    monkeypatch.setattr(Lite, "problem", lambda _self: None)


@pytest.fixture
def cache(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's cache with a network in it that nobody named."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    path = cached(NAME)
    path.parent.mkdir(parents=True)
    with h5py.File(weights) as new, h5py.File(path, "w") as old:
        old.attrs["layer_names"] = ["all of it"]
        new.copy("layers", old)
    return path


def names(available: AvailableBackbones) -> list[str]:
    return [backbone.name for backbone in available.backbones]


# What is at hand


@pytest.mark.usefixtures("package")
def test_one_backbone_is_no_parameter_and_two_are_one_with_the_package_s_first(study: Path) -> None:
    alone, both = prepare(config(), study), prepare(config(weights={NAME: "mobile.weights.h5"}), study)
    assert "backbone" not in alone.space.by_name
    parameter = both.space.by_name["backbone"]
    assert isinstance(parameter, Choice)
    assert (parameter.values, parameter.default) == (("lite0", NAME), "lite0")
    assert [p for p in both.space.parameters if p.name != "backbone"] == list(alone.space.parameters)


@pytest.mark.usefixtures("package")
def test_a_file_is_said_with_its_checksum_and_the_package_is_not(study: Path) -> None:
    assert find_backbones(config(), study) == AvailableBackbones((LITE0,), {}, ())
    available = find_backbones(config(weights={NAME: "mobile.weights.h5"}), study)
    backbone = available.backbones[1]
    assert isinstance(backbone, Application)
    assert available.remarks == (
        f"weights of MobileNetV3-Large: SHA-256 {backbone.sha256[:16]}…, 12 MB, from {study / 'mobile.weights.h5'}",
    )


@pytest.mark.usefixtures("no_package")
def test_a_file_is_enough_without_the_package(study: Path) -> None:
    prepared = prepare(config(weights={NAME: str(study / "mobile.weights.h5")}), study)
    assert [backbone.name for backbone in prepared.facts.backbones] == [NAME]
    assert "backbone" not in prepared.space.by_name


@pytest.mark.usefixtures("package")
def test_keras_s_cache_is_looked_into(study: Path, cache: Path) -> None:
    available = find_backbones(config(), study)
    assert names(available) == ["lite0", NAME]
    assert available.remarks[0].endswith(f", from {cache}")
    assert names(find_backbones(config(weights={NAME: "keras"}), study)) == ["lite0", NAME], "nothing to download"


@pytest.mark.usefixtures("package")
def test_half_a_file_in_the_cache_is_left_out_and_said(study: Path, cache: Path) -> None:
    cache.write_bytes(cache.read_bytes()[:5000])
    available = find_backbones(config(), study)
    assert names(available) == ["lite0"]
    assert available.remarks[0].startswith(f"MobileNetV3-Large is left out: {cache} is damaged: ")


@pytest.mark.usefixtures("package")
def test_what_was_asked_for_and_is_not_at_hand_is_left_out_in_one_line(study: Path) -> None:
    available = find_backbones(config(space={"backbone": ["lite0", "resnet50v2"]}), study)
    assert names(available) == ["lite0"]
    assert available.space == {}
    assert available.remarks == (
        "ResNet50V2 is left out: it has no weights; name a file of them in [weights] of study.toml",
    )


@pytest.mark.usefixtures("package")
def test_a_file_that_was_named_and_is_not_there_is_not_passed_over(study: Path) -> None:
    with pytest.raises(UsageError, match=f"^weights.vgg16: {study}/vgg.h5 does not exist; correct it in study.toml"):
        find_backbones(config(weights={"vgg16": "vgg.h5"}), study)


@pytest.mark.usefixtures("package")
def test_space_chooses_among_those_at_hand(study: Path) -> None:
    weights = {NAME: "mobile.weights.h5"}
    one = prepare(config(weights=weights, space={"backbone": NAME}), study)
    assert [backbone.name for backbone in one.facts.backbones] == [NAME]
    assert "backbone" not in one.space.by_name
    asked = {"backbone": [NAME, "vgg16", "lite0"], "c": 1.0}
    two = find_backbones(config(weights=weights, space=asked), study)
    assert (names(two), two.space) == (["lite0", NAME], {"c": 1.0})
    every_family = prepare(
        Config(images="../shapes", folds=3, weights=weights, space={"backbone": asked["backbone"]}), study
    )
    for family in ("frozen", "fine_tune"):
        parameter = every_family.space.by_name[f"{family}_backbone"]
        assert isinstance(parameter, Choice)
        assert parameter.values == ("lite0", NAME), "in every family of auto"


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"weights": {NAME: "gone.h5"}},
            "weights.mobilenetv3_large: {study}/gone.h5 does not exist; correct it in study.toml, or take the line out",
        ),
        (
            {"space": {"backbone": "vgg16"}},
            "preset frozen: VGG16: it has no weights; name a file of them in [weights] of study.toml",
        ),
        (
            {"space": {"backbone": "vgg19"}},
            "[space] of study.toml, preset frozen: backbone: must be of lite0, lite2, convnext_tiny, convnext_base, "
            "efficientnetv2_b0, efficientnetv2_s, mobilenetv3_large, densenet121, resnet50v2, vgg16, got 'vgg19'; "
            "did you mean 'vgg16'?",
        ),
        (
            {"weights": {"vgg16": "mobile.weights.h5"}},
            "weights.vgg16: {study}/mobile.weights.h5 has 2,996,352 weights, and VGG16 without its classes "
            "(include_top=False) has 14,714,688; correct it in study.toml, or take the line out",
        ),
        (
            {"weights": {"vgg16": "."}},
            "weights.vgg16: {study} is not a file; correct it in study.toml, or take the line out",
        ),
        (
            {"weights": {"vgg16": "~nobody-is-called-this/vgg.h5"}},
            "weights.vgg16: '~nobody-is-called-this/vgg.h5' begins with the home of a user who is not known here; "
            "correct it in study.toml, or take the line out",
        ),
        (
            {"weights": {"vgg16": "vgg\0.h5"}},
            "weights.vgg16: 'vgg\\x00.h5' cannot be looked at: embedded null byte; correct it in study.toml, or take "
            "the line out",
        ),
        (
            {"weights": {"vgg16": 5000 * "v"}},
            f"weights.vgg16: '{100 * 'v'}…' cannot be looked at: File name too long; correct it in study.toml, or "
            "take the line out",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(study: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        prepare(config(**values), study)
    assert str(refused.value) == message.format(study=study)


# The model


@pytest.mark.usefixtures("package")
def test_a_point_is_described_with_its_own_backbone_which_does_not_count_as_trained(study: Path) -> None:
    prepared = prepare(config(weights={NAME: "mobile.weights.h5"}), study)
    frozen = FAMILIES[prepared.preset.name].frozen
    assert frozen is not None
    pretrained_counts = {}
    for name, width in (("lite0", 2064), (NAME, 1392)):
        params = prepared.space.defaults(backbone=name)
        description = describe_frozen(frozen, params, prepared.facts)
        assert description.parameters - description.pretrained == (width + 1) * 2 + 2 * width
        pretrained_counts[name] = description.pretrained
        assert frozen.views(params, prepared.facts)[0].name.startswith(f"{name}-")
    assert pretrained_counts[NAME] == ARCHITECTURES[NAME].parameters


# What a study remembers


def begun(prepared: Prepared, study: Path) -> None:
    with create(StudyFolder(study), prepared) as store:
        run = store.start_run(RunRecord("2025-01-01T00:00:00+00:00", "search run", {}, "box", 1))
        store.add_trial(
            TrialRecord(0, prepared.space.defaults(), Origin.BASELINE, started="2025-01-01T00:00:00+00:00"),
            run=run,
            seconds=1.0,
        )


@pytest.mark.usefixtures("package")
def test_a_study_of_the_package_alone_remembers_nothing_new_and_ignores_what_comes_into_the_cache(
    study: Path, request: pytest.FixtureRequest
) -> None:
    prepared = prepare(config(), study)
    assert "weights" not in prepared.identity
    begun(prepared, study)
    request.getfixturevalue("cache")
    again = prepare(config(), study)
    store = open_begun(StudyFolder(study), again)
    assert store is not None
    store.close()
    assert names(find_backbones(config(), study)) == ["lite0", NAME], "a new study would have both"
    with pytest.raises(UsageError, match=rf"weights.{NAME}: the study has nothing, asked is "):
        open_begun(StudyFolder(study), prepare(config(space={"backbone": NAME}), study))


@pytest.mark.usefixtures("packages")
def test_a_study_of_one_package_goes_on_with_that_one_and_a_new_study_has_both(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(find_backbones(config(), study)) == ["lite0", "lite2"]
    both = prepare(config(), study)
    assert {*both.identity["weights"]} == {"lite0", "lite2"}
    assert not find_backbones(config(), study).remarks, "their files are pinned"
    with monkeypatch.context() as at_first:
        at_first.setattr(Lite, "problem", lambda self: None if self.name == "lite0" else "it is not installed")
        begun(prepare(config(), study), study)
    again = prepare(config(), study)
    assert [backbone.name for backbone in again.facts.backbones] == ["lite0"]
    assert "weights" not in again.identity


@pytest.mark.usefixtures("packages")
def test_a_study_of_two_packages_says_which_one_is_gone(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(prepare(config(), study), study)
    monkeypatch.setattr(Lite, "problem", lambda self: "it is not installed" if self.name == "lite2" else None)
    assert find_backbones(config(), study, ("lite0", "lite2")).remarks == (
        "EfficientNet-Lite2 is left out: it is not installed",
    )
    with pytest.raises(UsageError, match=r"weights\.lite2: the study has 9656183e\w+, asked is nothing"):
        open_begun(StudyFolder(study), prepare(config(), study))


@pytest.mark.usefixtures("no_package")
def test_a_study_whose_only_weights_are_gone_says_which(study: Path, cache: Path) -> None:
    begun(prepare(config(), study), study)
    cache.unlink()
    with pytest.raises(UsageError) as refused:
        prepare(config(), study)
    assert str(refused.value) == (
        "preset frozen: MobileNetV3-Large: it has no weights; name a file of them in [weights] of study.toml"
    )


@pytest.mark.usefixtures("package")
def test_a_study_goes_on_only_with_the_weights_that_it_began_with(study: Path) -> None:
    asked = config(weights={NAME: "mobile.weights.h5"})
    prepared = prepare(asked, study)
    assert json.loads(json.dumps(prepared.identity))["weights"].keys() == {"lite0", NAME}
    begun(prepared, study)
    shutil.move(study / "mobile.weights.h5", study / "moved.weights.h5")
    moved = prepare(config(weights={NAME: "moved.weights.h5"}), study)
    assert moved.identity == prepared.identity, "what counts is what is in it"
    with h5py.File(study / "moved.weights.h5", "r+") as file:
        file["layers/conv2d/vars/0"][...] += 1
    changed = prepare(config(weights={NAME: "moved.weights.h5"}), study)
    sha256 = prepared.identity["weights"][NAME]
    for other, digest in ((changed, changed.facts.backbones[1].sha256), (prepare(config(), study), "nothing")):
        with pytest.raises(UsageError, match=rf"\n  weights.{NAME}: the study has {sha256}, asked is {digest}\n"):
            open_begun(StudyFolder(study), other)


# From end to end


@pytest.mark.slow
def test_a_search_with_weights_of_a_file(weights: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", classes={"left": 8, "top": 8}, size=8)
    shutil.copy(weights, tmp_path / "mobile.weights.h5")
    assert search("init", "shapes", "--dir", "study", cwd=tmp_path).returncode == 0
    file = tmp_path / "study" / "study.toml"
    document = tomlkit.parse(file.read_text())
    document["preset"] = "frozen"
    document["weights"][NAME] = "../mobile.weights.h5"
    document["space"] = {"backbone": NAME, "input_size": 64}
    file.write_text(tomlkit.dumps(document))
    ran = search("run", "study", "--trials", "2", "--folds", "2", "--workers", "1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "weights of MobileNetV3-Large: SHA-256 " in ran.stdout
    trials = trials_of(tmp_path / "study")
    assert [str(trial.state) for trial in trials] == ["complete", "complete"]
    assert all(len(trial.folds) == 2 for trial in trials)
    seen = {path.name.split("-")[0] for path in (tmp_path / "study" / "cache" / "features").iterdir()}
    assert NAME in seen
    assert seen <= {NAME, *(packaged.name for packaged in PACKAGED)}, "the probe of the references has its own"
    with h5py.File(tmp_path / "mobile.weights.h5", "r+") as changed:
        changed["layers/conv2d/vars/0"][...] += 1
    refused = search("run", "study", "--trials", "3", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"weights.{NAME}: the study has " in refused.stderr
    assert "Traceback" not in refused.stderr

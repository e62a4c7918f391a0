"""A search with several pre-trained networks, of which one sees nothing: all are probed, and it is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spaces.backbones.lite import PACKAGED
from storage import TrialState
from tests.commands import search, search_here, trials_of
from tests.pictures import make_pictures
from tests.spaces.hugging_face import CONFIGS, make_folder, packed


@pytest.mark.skipif(any(lite.problem() for lite in PACKAGED), reason="needs the packages of weights")
@pytest.mark.slow
def test_all_are_probed_first_and_one_that_sees_nothing_is_left_out_at_once(tmp_path: Path) -> None:
    make_pictures(tmp_path / "shapes", classes={"left": 40, "top": 40}, size=8)
    arrays = make_folder(tmp_path / "blind", CONFIGS["vit"])
    arrays["embeddings.patch_embeddings.projection.weight"] *= np.float32(0)
    (tmp_path / "blind" / "model.safetensors").write_bytes(packed(arrays))
    named = ("--backbone", "blind", "--backbone", "lite0", "--backbone", "lite2")
    limits = ("--trials", "8", "--folds", "3", "--workers", "1", "--dir", "study")
    ran = search("run", "shapes", "--preset", "frozen", *named, *limits, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    trials = trials_of(tmp_path / "study")
    probes = trials[:3]
    assert [trial.params["backbone"] for trial in probes] == ["lite0", "lite2", "blind"]
    for probe in probes:
        assert (probe.state, len(probe.folds)) == (TrialState.COMPLETE, 3)
        differing = {key for key in probe.params if probe.params[key] != probes[0].params[key]}
        assert differing <= {"backbone"}
    assert all(trial.params["backbone"] != "blind" for trial in trials[3:])
    assert "backbones that are clearly behind, and left out from now on: blind" in ran.stdout
    shown = json.loads(search_here("report", "study", "--json", cwd=tmp_path).stdout)
    rows = {row["name"]: row for row in shown["backbones"]}
    assert list(rows)[-1] == "blind" and rows.keys() == {"lite0", "lite2", "blind"}
    assert rows["blind"]["score"] == pytest.approx(0.5)
    assert all(row["milliseconds"] > 0 for row in rows.values())
    page = (tmp_path / "study" / "report.html").read_text()
    table = page[page.index('id="backbones"') :]
    table = table[: table.index("</table>")]
    for name, row in rows.items():
        assert name in table and f"{row['milliseconds']:.1f}" in table

"""What a user can put right: a study whose baseline cannot be trained, before anything of it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import search, trials_of

pytestmark = pytest.mark.slow  # whole searches

SMALL = ("--preset", "cnn", "--trials", "1", "--folds", "2", "--epochs", "1", "--workers", "0", "--quiet")


def test_a_baseline_too_large_is_refused_and_the_advice_that_is_given_works(pictures: Path, tmp_path: Path) -> None:
    assert search("init", pictures, "--dir", "s", cwd=tmp_path).returncode == 0
    settings = tmp_path / "s" / "study.toml"
    settings.write_text(settings.read_text().replace("max_parameters = 5000000", "max_parameters = 10"))
    refused = search("run", "s", *SMALL, cwd=tmp_path)
    assert refused.returncode == 2
    assert "trial 0, the baseline, cannot be trained" in refused.stderr
    assert "above max_parameters = 10" in refused.stderr

    settings.write_text(settings.read_text().replace("max_parameters = 10", "max_parameters = 5000000"))
    mended = search("run", "s", *SMALL, cwd=tmp_path)
    assert mended.returncode == 0, mended.stderr
    assert len(trials_of(tmp_path / "s")) == 1

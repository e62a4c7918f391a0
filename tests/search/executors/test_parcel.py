"""What a job reads goes with it to another machine, and what it writes comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.executors.parcel import Item, Shelf, items_of_context, moved, moved_context, reads, writes
from search.executors.ray_cluster import slots_of
from search.executors.ray_node import Home, sweep
from search.jobs import BundleJob, ComposeJob, FitOptions, FoldJob, LookJob, RefitJob, WorkerContext
from spaces.custom.file import Source, named
from spaces.facts import Facts

ROWS = np.zeros(2, np.int32)


class Post:
    """Bytes on their way, by number."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.fetched: list[int] = []

    def put(self, content: bytes) -> int:
        self.sent.append(content)
        return len(self.sent) - 1

    def get(self, ref: int) -> bytes:
        self.fetched.append(ref)
        return self.sent[ref]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_is_sent_once_and_placed_once_under_its_name(tmp_path: Path) -> None:
    post = Post()
    shelf, file = Shelf(post.put), written(tmp_path / "here" / "a.keras", "one")
    first, second = shelf.item(file), shelf.item(file)
    places = [item.place(tmp_path / "there", post.get) for item in (first, second)]
    assert places[0] == places[1] != file
    assert (places[0].name, places[0].read_text()) == ("a.keras", "one")
    assert (post.sent, post.fetched) == ([b"one"], [0])


def test_another_content_under_the_same_name_is_another_place(tmp_path: Path) -> None:
    post = Post()
    shelf, file = Shelf(post.put), tmp_path / "a.keras"
    places = [
        shelf.item(written(file, text)).place(tmp_path / "there", post.get).read_text() for text in ("one", "three")
    ]
    assert places == ["one", "three"]


def test_a_builder_travels_with_what_it_imports_and_is_the_same_builder_there(tmp_path: Path) -> None:
    post = Post()
    written(tmp_path / "parts.py", "WIDTH = 7\n")
    net = written(tmp_path / "net.py", "import parts\nWIDTH = parts.WIDTH\n")
    model = named(f"{net}:build")
    context = WorkerContext(None, np.zeros(2, np.int16), Facts(8, 8, 1, 2, 2), "", "", model)
    there = unpacked(context, tmp_path / "there", post)
    assert there.model is not None
    assert Path(there.model.path).is_relative_to(tmp_path / "there")
    for name in ("net.py", "parts.py"):
        (tmp_path / name).unlink()
    assert Source(there.model).run().WIDTH == 7


def unpacked(context: WorkerContext, home: Path, post: Post) -> WorkerContext:
    places = {item.path: item.place(home, post.get) for item in items_of_context(context, Shelf(post.put))}
    return moved_context(context, places, home / "features")


def test_images_and_the_folder_of_features_are_those_of_the_other_machine(
    context: WorkerContext, tmp_path: Path
) -> None:
    assert context.pixels
    there = unpacked(replace(context, features=tmp_path / "here"), tmp_path / "there", Post())
    assert there.pixels and there.pixels.path != context.pixels.path
    np.testing.assert_array_equal(there.pixels.read(), context.pixels.read())
    assert there.features == tmp_path / "there" / "features"
    assert unpacked(replace(context, features=None), tmp_path / "there", Post()).features is None


FOLD = FoldJob(0, 0, 0, {}, ROWS, ROWS, 1, FitOptions(), keep=Path("kept.npz"))


COMPOSE = ComposeJob(((Path("a.keras"), 0.5), (Path("b.keras"), 0.5)), Path("c.keras"), {}, ROWS)


@pytest.mark.parametrize(
    ("job", "read", "wrote"),
    [
        (FOLD, [], "kept.npz"),
        (replace(FOLD, keep=None), [], None),
        (BundleJob((FOLD, replace(FOLD, fold=1))), [], None),
        (RefitJob(FOLD, Path("out.keras")), [], "out.keras"),
        (RefitJob(FOLD, Path("out.keras"), Path("kept.npz")), ["kept.npz"], "out.keras"),
        (COMPOSE, ["a.keras", "b.keras"], "c.keras"),
        (LookJob(Path("a.keras"), ROWS, ROWS), ["a.keras"], None),
    ],
)  # fmt: skip
def test_a_job_that_was_moved_names_no_path_of_this_machine(
    job: FoldJob | BundleJob | RefitJob | ComposeJob | LookJob, read: list[str], wrote: str | None
) -> None:
    assert [str(path) for path in reads(job)] == read
    assert writes(job) == (Path(wrote) if wrote else None)
    there = moved(job, {name: Path("/there") / name for name in read}, Path("/there/out"))
    assert all(path.is_relative_to("/there") for path in reads(there))
    assert writes(there) == (Path("/there/out") if wrote else None)
    assert not isinstance(there, BundleJob) or not any(fold.keep for fold in there.folds)


def test_an_item_holds_no_content(tmp_path: Path) -> None:
    item = Shelf(Post().put).item(written(tmp_path / "a.h5", "weights"))
    assert item == Item(str(tmp_path / "a.h5"), item.digest, (("a.h5", 0),))


@pytest.mark.parametrize(
    ("resources", "per_gpu", "slots", "share"),
    [
        ({"CPU": 8.0, "memory": 1e9}, 1, 8, {"num_cpus": 1}),
        ({"CPU": 8.0, "GPU": 2.0}, 1, 2, {"num_gpus": 1.0, "num_cpus": 1.0}),
        ({"CPU": 8.0, "GPU": 2.0}, 4, 8, {"num_gpus": 0.25, "num_cpus": 1.0}),
        ({"CPU": 2.0, "GPU": 1.0}, 4, 4, {"num_gpus": 0.25, "num_cpus": 0.5}),
        ({"memory": 1e9}, 1, 0, {"num_cpus": 1}),
    ],
)
def test_a_node_has_a_slot_for_each_core_or_several_for_each_gpu(
    resources: dict[str, float], per_gpu: int, slots: int, share: dict[str, float]
) -> None:
    assert slots_of(resources, per_gpu) == (slots, share)


def test_what_a_session_left_on_a_node_goes_once_none_of_its_slots_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, second = Home("a"), Home("a")
    written(first.path / "images.npy", "many")
    del first
    sweep()
    assert (second.path / "images.npy").is_file()
    path = second.path
    del second
    sweep("a")
    assert not path.exists()


def test_a_folder_for_temporary_files_that_others_may_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = Home("a").path.parent
    path.chmod(0o777)
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        Home("b")

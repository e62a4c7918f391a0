"""A model file of a stranger is refused before it takes memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from search.errors import UsageError
from search.export.bounds import images_at_once
from search.export.predict import load_model
from spaces.backbones.folder import opened
from tests.search.export.test_predict import saved
from tests.spaces.hugging_face import CONFIGS, make_folder

Change = Callable[[dict[str, Any]], None]
NOTHING: Mapping[str, bytes] = {}


def rewritten(path: Path, change: Change | None = None, members: Mapping[str, bytes] = NOTHING) -> Path:
    """A copy of the file with another configuration, or other members; all else is kept."""
    target = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = members.get(member.filename, old.read(member))
            if change and member.filename == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(member.filename, content)
        for name in members.keys() - set(old.namelist()):
            new.writestr(name, members[name])
    return target


def layer(config: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in config["config"]["layers"] if each["class_name"] == kind)["config"]
    return found


def test_a_model_of_ours_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    assert load_model(rewritten(path)).count_params() == load_model(path).count_params()


@pytest.mark.first(2)
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_network_of_any_kind_within_a_model_is_loaded(tmp_path: Path, kind: str) -> None:
    import keras

    from search.worker.packaging import save

    make_folder(tmp_path / "net", CONFIGS[kind])
    inputs = keras.Input((64, 64, 3))
    *_, features = opened("net", tmp_path / "net").network(64)(inputs)
    pooled = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(features))
    save(keras.Model(inputs, pooled), tmp_path / "m.keras", {"classes": ["a", "b"], "packaging": 2})
    assert load_model(tmp_path / "m.keras").output_shape == (None, 2)


def wide(config: dict[str, Any]) -> None:
    layer(config, "Dense")["units"] = 10**9


def large(config: dict[str, Any]) -> None:
    layer(config, "InputLayer")["batch_shape"] = [None, 70_000, 70_000, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [(wide, "its network has 8,000,000,000 bytes of weights"), (large, "gives 4,900,000,000 numbers for one image")],
)
def test_a_network_that_is_larger_than_its_file_accounts_for_is_refused(
    tmp_path: Path, change: Change, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        load_model(rewritten(saved(tmp_path / "m.keras"), change))


def of_network(path: Path, build: Callable[[Any], Any], side: int | None = 8) -> Path:
    """A model whose pixels go through `build` before they are averaged; the network within takes images of `side`."""
    import keras

    from search.worker.packaging import save

    inner = keras.Input((side, side, 1))
    inputs = keras.Input((8, 8, 1))
    seen = keras.Model(inner, build(inner))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(keras.layers.GlobalMaxPooling2D()(seen)))
    save(model, path, {"classes": ["a", "b"], "image_shape": [8, 8, 1], "packaging": 2})
    return path


def thrice(pixels: Any) -> Any:
    import keras

    larger, smaller = keras.layers.UpSampling2D(16), keras.layers.GlobalMaxPooling2D(keepdims=True)
    return smaller(larger(larger(larger(pixels))))


def repeated(pixels: Any) -> Any:
    import keras

    return keras.ops.max(keras.ops.repeat(pixels, 2**25, axis=1), axis=1, keepdims=True)


def attentive(pixels: Any) -> Any:
    import keras

    rows = keras.layers.UpSampling1D(512)(keras.layers.Reshape((64, 1))(pixels))
    seen = keras.layers.MultiHeadAttention(4, 2)(rows, rows)
    return keras.layers.Reshape((64, 512, 1))(seen)


@pytest.mark.parametrize("side", [8, None])
@pytest.mark.parametrize("build", [thrice, repeated, attentive])
def test_every_call_and_operation_of_networks_within_is_bounded(
    tmp_path: Path, build: Callable[[Any], Any], side: int | None
) -> None:
    with pytest.raises(UsageError, match=r"its layer '.*' gives [\d,]{10,} numbers for one image"):
        load_model(of_network(tmp_path / "m.keras", build, side))


def test_fewer_images_are_predicted_at_once_where_a_layer_gives_much(tmp_path: Path) -> None:
    def wide(pixels: Any) -> Any:
        import keras

        return keras.layers.UpSampling2D(2**9)(pixels)

    small, large = saved(tmp_path / "m.keras"), of_network(tmp_path / "large.keras", wide)
    assert images_at_once(load_model(small), 64) == 64
    assert images_at_once(load_model(large), 64) == 2**29 // 2**24


def hollow(make: Callable[[Any], object]) -> bytes:
    """A file of weights with one more array."""
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        make(file)
    return content.getvalue()


HOLLOW: dict[str, tuple[Callable[[Any], object], str]] = {
    "packed": (
        lambda file: file.create_dataset("v", (10**9,), "f4", chunks=(10**6,), compression="gzip"),
        "its arrays would have 4,000,000,000",
    ),
    "of one number": (
        lambda file: file.create_dataset("v", (10**9,), "f4", fillvalue=1.0, chunks=(10**6,)),
        "its arrays would have 4,000,000,000",
    ),
    "in another file": (lambda file: file.create_dataset("v", (4,), "f4", external="/etc/hostname"), "leads elsewhere"),
    "behind a link": (lambda file: file.__setitem__("v", _link()), "leads elsewhere"),
}


def _link() -> Any:
    import h5py

    return h5py.ExternalLink("other.h5", "/v")


@pytest.mark.parametrize("case", HOLLOW)
def test_weights_that_are_not_in_the_file_are_refused(tmp_path: Path, case: str) -> None:
    make, said = HOLLOW[case]
    with pytest.raises(UsageError, match=said):
        load_model(rewritten(saved(tmp_path / "m.keras"), members={"model.weights.h5": hollow(make)}))


@pytest.mark.parametrize("name", ["config.json", "more.json"])
def test_a_member_that_unpacks_to_far_more_than_it_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} in it would have 64,000,000 bytes"):
        load_model(rewritten(saved(tmp_path / "m.keras"), members={name: b" " * 64_000_000}))


def test_an_encrypted_archive_is_named_as_that(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # the flags of every header, there and in the directory
        at = content.find(start)
        while at >= 0:
            content[at + (6 if start == b"PK\x03\x04" else 8)] |= 1
            at = content.find(start, at + 4)
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is encrypted"):
        load_model(path)


def test_what_is_no_archive_is_named_as_that(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK" + b"\0" * 100)
    with pytest.raises(UsageError, match="no model of `search export`"):
        load_model(tmp_path / "m.keras")

"""A model in another format says what the study's model says, by real runtimes; those of strangers are refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.errors import RunError, UsageError
from search.export.convert import check_wanted, convert
from search.export.formats import Format, described, format_to_write, loaded
from search.export.model import model_file
from search.export.predict import predict
from search.export.wanted import Wanted
from tests.pictures import list_inputs, write
from tests.search.export.models import BY_NAME, CLASSES, EVERY, images, needs, nothing, saved


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("original") / "model.keras")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(images().pixels[:5]):
        write(folder / f"{number}.png", Image.fromarray(pixels[:, :, 0]))
    return folder


def converted(original: Path, target: Path, to: Format, wanted: Wanted | None = None) -> Path:
    convert(original, target, to, wanted or Wanted(samples=images().samples), images(), "accuracy", nothing)
    return target


Copied = Callable[[str], Path]


@pytest.fixture(scope="module")
def once(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Copied:
    """The model in a format of one file, by the format's name; converted once."""
    folder = tmp_path_factory.mktemp("converted")

    @cache
    def made(name: str) -> Path:
        return converted(original, folder / f"model{BY_NAME[name].suffix}", BY_NAME[name])

    return made


@pytest.fixture
def copied(once: Copied, tmp_path: Path) -> Copied:
    """The same as a file that may be changed."""
    return lambda name: Path(shutil.copy(once(name), tmp_path))


@pytest.mark.parametrize("to", EVERY)
def test_predict_says_the_same_of_every_format(original: Path, pictures: Path, tmp_path: Path, to: Format) -> None:
    target = tmp_path / f"model{to.suffix}"
    said, measured = convert(original, target, to, Wanted(), images(), "accuracy", nothing)
    assert measured.largest < 1e-5 and not measured.differing and measured.score == measured.score_before
    assert (measured.images, measured.judged, measured.testing) == (70, 20, True)
    assert measured.bytes > 100 and measured.milliseconds > 0 and said["batch"] is None
    assert [*tmp_path.iterdir()] == [target], "nothing else is left"
    assert model_file(target) == target
    about = described(target)
    assert (about.classes, about.image_shape, about.temperature) == (("dark", "bright"), (8, 8, 1), 1.5)
    files = list_inputs([pictures])
    for ours, theirs in zip(predict(original, files), predict(target, files), strict=True):
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-5)


@pytest.mark.parametrize("to", EVERY)
def test_a_fixed_number_of_images_at_once_is_no_limit_for_predict(
    original: Path, pictures: Path, tmp_path: Path, to: Format
) -> None:
    target = converted(original, tmp_path / f"model{to.suffix}", to, Wanted(batch=2))
    assert loaded(target, to).batch == 2
    files = list_inputs([pictures])
    for ours, theirs in zip(predict(original, files), predict(target, files), strict=True):
        np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-5)


@needs("LiteRT")
@pytest.mark.parametrize(("quantize", "most"), [("float16", 0.01), ("int8", 0.2)])
def test_shorter_numbers_are_measured_and_still_probabilities(
    original: Path, pictures: Path, tmp_path: Path, quantize: str, most: float
) -> None:
    target, wanted = tmp_path / "model.tflite", Wanted(quantize, samples=images().samples)
    said, measured = convert(original, target, BY_NAME["LiteRT"], wanted, images(), "accuracy", nothing)
    assert 1e-7 < measured.largest < most and said["quantized"] == described(target).quantized == quantize
    for answer in predict(target, list_inputs([pictures])):
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)


@needs("LiteRT")
def test_in_8_bits_a_feature_that_hardly_varies_takes_nothing_from_the_others(tmp_path: Path) -> None:
    """Its factor when features are standardised is so large that theirs would be 0 on the same scale."""
    import keras

    from search.worker.heads import moments
    from search.worker.keras_heads import dense, standardize
    from search.worker.packaging import save

    seen, inputs = images(), keras.Input((8, 8, 1))
    still = keras.layers.Rescaling(1e-5)(keras.layers.GlobalAveragePooling2D()(inputs))
    features: Any = keras.layers.Concatenate()([keras.layers.Flatten()(inputs), still])
    rows = keras.Model(inputs, features).predict(seen.pixels.astype(np.float32), verbose=0)
    weights = np.random.default_rng(0).normal(0, 0.3, (65, 2))
    weights[-1] = 0
    answer = dense(weights, np.zeros(2), "softmax", standardize(*moments(rows), features))
    save(keras.Model(inputs, answer), tmp_path / "m.keras", {"classes": CLASSES, "image_shape": [8, 8, 1]})
    wanted = Wanted("int8", samples=seen.samples)
    _, measured = convert(
        tmp_path / "m.keras", tmp_path / "m.tflite", BY_NAME["LiteRT"], wanted, seen, "accuracy", nothing
    )
    assert measured.largest < 0.1


@needs("LiteRT")
def test_a_tflite_file_has_its_labels_as_other_programs_expect_them(copied: Copied) -> None:
    target = copied("LiteRT")
    with zipfile.ZipFile(target) as archive:
        assert archive.read("labels.txt").decode().splitlines() == CLASSES
    assert target.read_bytes()[4:8] == b"TFL3"


@needs("ONNX")
def test_an_onnx_file_names_its_opset_and_classes_and_its_weights_are_inside(copied: Copied) -> None:
    import onnx

    target = copied("ONNX")
    model = onnx.load_model(target)
    said = {one.key: one.value for one in model.metadata_props}
    assert json.loads(said["classes"]) == CLASSES
    assert int(said["opset"]) == next(one.version for one in model.opset_import if one.domain == "")
    onnx.checker.check_model(model)


def test_a_model_that_says_something_else_is_not_put_in_its_place(original: Path, tmp_path: Path) -> None:
    """What a converter makes is believed only after it was compared."""
    import keras

    to = BY_NAME["SavedModel"]

    def wrong(model: Any, path: Path, wanted: Wanted, about: Any) -> Any:
        other = keras.models.clone_model(model)
        other.set_weights([weight * 1.01 for weight in model.get_weights()])
        return to.write(other, path, wanted, about)

    with pytest.raises(RunError, match=r"is not written: a probability .* differs by 0\.0\d+ from the study's model"):
        converted(original, tmp_path / "saved", replace(to, write=wrong))
    assert not [*tmp_path.iterdir()]


def test_what_cannot_be_converted_is_said_and_nothing_is_left(original: Path, tmp_path: Path) -> None:
    def fails(*_: Any) -> Any:
        raise ValueError("no such operation\nat line 7")

    with pytest.raises(RunError, match=r"SavedModel cannot hold this model: no such operation$"):
        converted(original, tmp_path / "saved", replace(BY_NAME["SavedModel"], write=fails))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("ONNX", Wanted("int8"), "--quantize: is for .tflite files only, not for ONNX, got int8"),
        ("LiteRT", Wanted("int4"), "--quantize: must be one of float16, int8 for LiteRT, got int4"),
        ("SavedModel", Wanted(batch=0), "--batch: must be at least 1, got 0"),
    ],
)
def test_what_a_format_cannot_do_is_refused(name: str, wanted: Wanted, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_wanted(BY_NAME[name], wanted)
    assert str(refused.value) == said


def test_a_converter_that_is_not_installed_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError) as refused:
        check_wanted(replace(BY_NAME["ONNX"], modules=("no_such_module",)), Wanted())
    assert str(refused.value) == (
        "--to: writing ONNX needs no_such_module, which is not installed: pip install '.[export]' in a "
        "checkout of this project"
    )


def test_an_unknown_ending_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match=r"must end in \.keras, \.tflite, \.onnx, \.py, or be a folder"):
        format_to_write(Path("model.h5"))


# Damaged files


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in ("LiteRT", "ONNX")])
def test_a_file_that_was_damaged_is_refused_or_answers_the_same(copied: Copied, pictures: Path, name: str) -> None:
    """These formats have no checksum: their runtimes answer otherwise, fail when they run, or end the process."""
    target, files = copied(name), list_inputs([pictures])
    content, answers = target.read_bytes(), [one.probabilities for one in predict(target, files)]
    refused = 0
    for place in range(7, len(content), len(content) // 60):
        target.write_bytes(content[:place] + bytes([content[place] ^ 0x90]) + content[place + 1 :])
        try:
            found = [one.probabilities for one in predict(target, files)]
        except UsageError as error:
            assert str(target) in str(error)
            refused += 1
        else:
            assert found == answers, place
    assert refused >= 50


@needs("ONNX")
def test_a_file_of_which_another_program_changed_a_weight_is_refused_in_words(copied: Copied) -> None:
    import onnx

    target = copied("ONNX")
    model = onnx.load_model(target)
    tensor = next(one for one in model.graph.initializer if one.raw_data)
    tensor.raw_data = tensor.raw_data[::-1]
    target.write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=r"is damaged, or another program changed it: .* makes it anew$"):
        loaded(target, BY_NAME["ONNX"])


@needs("ONNX")
def test_a_file_without_a_seal_that_cannot_be_run_is_refused_in_words(tmp_path: Path, pictures: Path) -> None:
    """Earlier releases wrote none."""
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 8, 8, 1])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    numbers = [("nowhere", [99]), ("sides", [0, 2])]
    inside = [helper.make_tensor(name, TensorProto.INT64, [len(of)], of) for name, of in numbers]
    steps = [helper.make_node("Gather", ["x", "nowhere"], ["z"]), helper.make_node("Reshape", ["z", "sides"], ["y"])]
    model = helper.make_model(
        helper.make_graph(steps, "g", [given], [answer], inside),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    said = {"classes": CLASSES, "image_shape": [8, 8, 1], "packaging": 2}
    helper.set_model_props(model, {"smallsearch": json.dumps(said)})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=r"m\.onnx cannot be run by onnxruntime: .*out of data bounds"):
        next(predict(tmp_path / "m.onnx", list_inputs([pictures])))


# Files of strangers


@needs("LiteRT")
def test_a_tflite_file_that_is_cut_off_is_refused(original: Path, copied: Copied) -> None:
    target = copied("LiteRT")
    content = target.read_bytes()
    target.write_bytes(content[:64] + content[-2000:])
    with pytest.raises(UsageError, match=r"is damaged, or another program changed it|is no model of"):
        next(predict(target, list_inputs([original])))


@needs("ONNX")
def test_an_onnx_file_that_leads_to_other_files_is_refused(copied: Copied) -> None:
    import onnx

    target = copied("ONNX")
    model = onnx.load_model(target)
    tensor = next(one for one in model.graph.initializer if one.raw_data)
    onnx.external_data_helper.set_external_data(tensor, location="../../etc/hostname")
    tensor.ClearField("raw_data")
    target.write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="its weights are in other files, which are not opened"):
        loaded(target, BY_NAME["ONNX"])


@needs("ONNX")
def test_numbers_of_an_onnx_file_that_lie_elsewhere_are_found_in_each_place(copied: Copied) -> None:
    import onnx

    target = copied("ONNX")
    content = target.read_bytes()
    outside = onnx.helper.make_tensor("far", onnx.TensorProto.FLOAT, [1], np.ones(1, np.float32).tobytes(), raw=True)
    onnx.external_data_helper.set_external_data(outside, location="../../etc/hostname")
    sparse = onnx.SparseTensorProto(values=outside, dims=[1])
    for where in ("tensors", "sparse_tensor", "sparse_tensors", "sparse_initializer"):
        model = onnx.ModelProto.FromString(content)
        attribute = model.graph.node[0].attribute.add(name="more")
        if where == "sparse_tensor":
            attribute.sparse_tensor.CopyFrom(sparse)
        else:
            place = model.graph if where == "sparse_initializer" else attribute
            getattr(place, where).append(outside if where == "tensors" else sparse)
        target.write_bytes(model.SerializeToString())
        with pytest.raises(UsageError, match="its weights are in other files, which are not opened"):
            loaded(target, BY_NAME["ONNX"])


@needs("ONNX")
def test_an_onnx_file_with_operations_of_somebody_is_refused(copied: Copied) -> None:
    import onnx

    target = copied("ONNX")
    model = onnx.load_model(target)
    model.graph.node[0].domain = "com.evil"
    target.write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match=r"has the operation com\.evil\.\w+, which is not of the ONNX standard"):
        loaded(target, BY_NAME["ONNX"])


@needs("ONNX")
def test_an_onnx_file_whose_steps_are_huge_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 8, 8, 1])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 65536, 65536, 1])
    repeats = helper.make_tensor("repeats", TensorProto.INT64, [4], [1, 8192, 8192, 1])
    graph = helper.make_graph([helper.make_node("Tile", ["x", "repeats"], ["y"])], "g", [given], [answer], [repeats])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert onnx.load_model(tmp_path / "m.onnx").graph.name == "g"
    with pytest.raises(UsageError, match=r"one of its steps gives 4,294,967,296 numbers for one image"):
        loaded(tmp_path / "m.onnx", BY_NAME["ONNX"])


def stranger(path: Path, body: Any) -> Path:
    """A SavedModel whose function does something else than to compute."""
    import tensorflow as tf

    module = tf.Module()
    signature = [tf.TensorSpec((None, 8, 8, 1), tf.float32, name="pixels")]
    module.serve = tf.function(body, input_signature=signature)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    (path / "smallsearch.json").write_text(json.dumps({"classes": CLASSES, "image_shape": [8, 8, 1], "packaging": 2}))
    return path


def test_a_saved_model_that_could_do_more_than_compute_is_not_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    def reads(pixels: Any) -> Any:
        return tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32) + pixels[:, 0, :2, 0]

    def writes(pixels: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "written"), "x")]):
            return pixels[:, 0, :2, 0]

    def calls(pixels: Any) -> Any:
        return tf.numpy_function(lambda x: x[:, 0, :2, 0], [pixels], tf.float32)

    for body, operation in ((reads, "ReadFile"), (writes, "WriteFile"), (calls, "PyFunc")):
        path = stranger(tmp_path / operation, body)
        with pytest.raises(UsageError, match=f"is not loaded: it has the operation {operation}, which"):
            loaded(path, BY_NAME["SavedModel"])
    assert not (tmp_path / "written").exists()


def test_operations_that_reach_outside_without_a_state_are_refused_too(tmp_path: Path) -> None:
    """TensorFlow calls them stateless, so it may run them whenever it simplifies a graph."""
    import tensorflow as tf

    def tells(pixels: Any) -> Any:
        return tf.raw_ops.DebugIdentity(input=pixels[:, 0, :2, 0], debug_urls=[f"file://{tmp_path}/told"])

    def maps(pixels: Any) -> Any:
        region = tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[2], memory_region_name="/etc/hostname")
        return pixels[:, 0, :2, 0] + region

    for body, operation in ((tells, "DebugIdentity"), (maps, "ImmutableConst")):
        path = stranger(tmp_path / operation, body)
        with pytest.raises(UsageError, match=f"is not loaded: it has the operation {operation}, which"):
            loaded(path, BY_NAME["SavedModel"])
    assert not (tmp_path / "told").exists()


def test_operations_that_nothing_calls_are_looked_at_too(original: Path, tmp_path: Path) -> None:
    """Those that write the weights are in every SavedModel, and may only be where nothing calls them."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    target = converted(original, tmp_path / "saved", BY_NAME["SavedModel"])
    content = (target / "saved_model.pb").read_bytes()
    for where, operation in (("graph", "ImmutableConst"), ("idle", "DebugIdentity"), ("called", "SaveV2")):
        model = SavedModel.FromString(content)
        graph, objects = model.meta_graphs[0].graph_def, model.meta_graphs[0].object_graph_def
        if where == "graph":
            graph.node.add(name="more", op=operation)
        else:
            idle = next(one for one in graph.library.function if "save" in one.signature.name)
            idle.node_def.add(name="more", op=operation)
            named = [idle.signature.name] if where == "called" else []
            objects.nodes.add().function.concrete_functions.extend(named)
        (target / "saved_model.pb").write_bytes(model.SerializeToString())
        with pytest.raises(UsageError, match="is not loaded: it has the operation"):
            loaded(target, BY_NAME["SavedModel"])


def test_a_model_of_tensorflow_1_which_runs_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    v1, path, written = tf.compat.v1, tmp_path / "saved", tmp_path / "written"
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        pixels = v1.placeholder(tf.float32, (None, 8, 8, 1))
        signature = v1.saved_model.predict_signature_def({"pixels": pixels}, {"answer": pixels[:, 0, :2, 0]})
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=tf.io.write_file(str(written), "x")
        )
        builder.save()
    with pytest.raises(UsageError, match="a graph of TensorFlow 1, parts of which run while it is loaded"):
        loaded(path, BY_NAME["SavedModel"])
    assert not written.exists()
    tf.saved_model.load(str(path))
    assert written.exists(), "it is what is refused"


def test_a_saved_model_of_several_graphs_is_refused(original: Path, tmp_path: Path) -> None:
    """TensorFlow loads it as it loads one of TensorFlow 1."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    target = converted(original, tmp_path / "saved", BY_NAME["SavedModel"])
    model = SavedModel.FromString((target / "saved_model.pb").read_bytes())
    model.meta_graphs.add().CopyFrom(model.meta_graphs[0])
    (target / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(UsageError, match="has no single graph of TensorFlow"):
        loaded(target, BY_NAME["SavedModel"])


def test_a_saved_model_with_links_or_less_weights_than_it_says_is_refused(original: Path, tmp_path: Path) -> None:
    target = converted(original, tmp_path / "saved", BY_NAME["SavedModel"])
    (target / "assets").mkdir(exist_ok=True)
    (target / "assets" / "more.txt").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match=r"more\.txt in it is a link, which is not followed"):
        loaded(target, BY_NAME["SavedModel"])


def test_a_folder_with_other_files_is_no_saved_model_of_ours(original: Path, tmp_path: Path) -> None:
    target = converted(original, tmp_path / "saved", BY_NAME["SavedModel"])
    converted(original, target, BY_NAME["SavedModel"])  # an earlier export is replaced
    (target / "thesis.docx").touch()
    with pytest.raises(UsageError, match="is neither a study nor a model"):
        model_file(target)

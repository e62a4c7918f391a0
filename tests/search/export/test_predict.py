"""Pictures at prediction are read as the training images were, and what a model answers are probabilities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reports.show import not_predicted
from search.data.decoding import FileRemark, Picture
from search.errors import UsageError
from search.export.predict import classified, pictures_in, predict
from search.manifest import about
from tests.pictures import list_inputs, make_pictures, write


def saved(path: Path, **about: Any) -> Path:
    """A model of grey pictures whose second probability grows with the mean grey."""
    import keras

    from search.worker.packaging import save

    inputs = keras.Input((8, 8, 1))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(2, "softmax")
    model = keras.Model(inputs, dense(mean))
    dense.set_weights([np.array([[0.0, 0.01]]), np.zeros(2)])
    save(model, path, {"classes": ["dark", "bright"], "image_shape": [8, 8, 1], "packaging": 2, **about})
    return path


def words(path: Path, value: int) -> Path:
    return write(path, Image.fromarray(np.full((8, 8), value, np.uint16)))


def expected(grey: int) -> Any:
    return pytest.approx(1 / (1 + np.exp(-0.01 * grey)), abs=1e-5)


def test_16_bit_grey_has_the_scale_of_the_training_images(tmp_path: Path) -> None:
    words(tmp_path / "new" / "1.png", 0)
    words(tmp_path / "new" / "2.png", 4095)
    for model, grey in ((saved(tmp_path / "m.keras", grey_bits=12), 255), (saved(tmp_path / "old.keras"), 16)):
        first, second = predict(model, list_inputs([tmp_path / "new"]))
        assert (first.probabilities[1], second.probabilities[1]) == (expected(0), expected(grey))
        assert not first.clipped and not second.clipped


def test_16_bit_grey_has_the_window_of_the_training_images(tmp_path: Path) -> None:
    for number, value in enumerate((1000, 1100, 1200, 4000)):
        words(tmp_path / "new" / f"{number}.png", value)
    model = saved(tmp_path / "m.keras", grey_window=[1000, 1200])
    answers = list(predict(model, list_inputs([tmp_path / "new"])))
    assert [answer.probabilities[1] for answer in answers] == [expected(grey) for grey in (0, 128, 255, 255)]
    assert [bool(answer.clipped) for answer in answers] == [False, False, False, True]
    assert "100% of its values outside of 1000 to 1200" in answers[3].clipped
    for window in ([5, 5], [-1, 9], [0, 70_000]):
        with pytest.raises(UsageError, match="is damaged"):
            about(saved(tmp_path / "m.keras", grey_window=window))
    with pytest.raises(UsageError, match="is no model"):
        about(saved(tmp_path / "m.keras", grey_window=[1]))


def test_what_exceeds_that_scale_is_cut_and_said_once(tmp_path: Path) -> None:
    for number, value in enumerate([4095, 5000, 60000]):
        words(tmp_path / "new" / f"{number}.png", value)
    answers = tuple(predict(saved(tmp_path / "m.keras", grey_bits=12), list_inputs([tmp_path / "new"])))
    assert [answer.probabilities[1] for answer in answers] == [expected(255)] * 3
    (line,) = not_predicted(answers)
    assert "new/1.png: Has values up to 5000, and larger ones than 4095 are cut to it. (… and 1 more)" in line


@pytest.mark.parametrize("bits", [0, 17, 1000])
def test_a_file_with_an_impossible_scale_is_damaged(tmp_path: Path, bits: int) -> None:
    with pytest.raises(UsageError, match="is damaged"):
        about(saved(tmp_path / "m.keras", grey_bits=bits))


@pytest.mark.parametrize(("temperature", "doubt"), [(0.5, 0.0), (1.0, 0.0), (2.0, 0.0), (0.5, 0.1)])
def test_probabilities_are_as_sure_as_the_file_says_and_the_class_stays(
    tmp_path: Path, temperature: float, doubt: float
) -> None:
    for grey in (0, 100, 255):
        write(tmp_path / "new" / f"{grey}.png", Image.fromarray(np.full((8, 8), grey, np.uint8)))
    model = saved(tmp_path / "m.keras", temperature=temperature, doubt=doubt)
    for answer, grey in zip(predict(model, list_inputs([tmp_path / "new"])), (0, 100, 255), strict=True):
        bright = (1 - doubt) / (1 + np.exp(-0.01 * grey / temperature)) + doubt / 2
        assert answer.probabilities[1] == pytest.approx(bright, abs=1e-5)
        assert sum(answer.probabilities) == pytest.approx(1)


@pytest.mark.parametrize("temperature", [0, -1, 1e9, float("nan"), "hot", [1], None])
def test_a_file_with_an_impossible_temperature_is_damaged(tmp_path: Path, temperature: object) -> None:
    with pytest.raises(UsageError, match=r"is damaged|is no model"):
        about(saved(tmp_path / "m.keras", temperature=temperature))


@pytest.mark.parametrize("doubt", [-0.1, 1, float("nan"), "much", [0]])
def test_a_file_with_an_impossible_doubt_is_damaged(tmp_path: Path, doubt: object) -> None:
    with pytest.raises(UsageError, match=r"is damaged|is no model"):
        about(saved(tmp_path / "m.keras", doubt=doubt))


ABOUT = {"classes": ["a", "b"], "image_shape": [8, 8, 1], "packaging": 2}


@pytest.fixture
def constant(tmp_path: Path) -> Callable[[str, float], Path]:
    """A file as `search export` writes it: a dense layer with this activation, its weights all this number."""

    def make(activation: str, weight: float) -> Path:
        import keras

        from search.worker.packaging import save

        inputs = keras.Input((8, 8, 1))
        layer = keras.layers.Dense(2, activation)
        model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
        layer.set_weights([np.full_like(values, weight) for values in layer.get_weights()])
        save(model, tmp_path / "model.keras", ABOUT)
        return tmp_path / "model.keras"

    return make


def answers(model: Path, tmp_path: Path) -> list[Any]:
    pictures = make_pictures(tmp_path / "pictures", {"a": 3}, size=8)
    return [answer.probabilities for answer in predict(model, list_inputs([pictures]))]


def test_rows_add_up_to_1(constant: Callable[[str, float], Path], tmp_path: Path) -> None:
    assert answers(constant("softmax", 0.0), tmp_path) == [(0.5, 0.5)] * 3


def test_a_file_that_was_written_anew_is_loaded_anew(constant: Callable[[str, float], Path], tmp_path: Path) -> None:
    """The last model stays loaded, for many calls one after another in a notebook."""
    model, pictures = constant("softmax", 0.0), make_pictures(tmp_path / "pictures", {"a": 3}, size=8)
    before = [list(predict(model, list_inputs([pictures]))) for _ in range(2)]
    assert before[0] == before[1] and before[0][0].probabilities == (0.5, 0.5)
    saved(model)
    assert all(answer.probabilities[1] > 0.5 for answer in predict(model, list_inputs([pictures])))


def test_nan_is_never_an_answer(constant: Callable[[str, float], Path], tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"model\.keras answers NaN: 2 of its 2 arrays of weights hold NaN or infinity; `search export"
    ):
        answers(constant("softmax", float("nan")), tmp_path)
    with pytest.raises(UsageError, match=r"answers NaN: it overflows"):
        answers(constant("softmax", 3e38), tmp_path / "other")


@pytest.mark.parametrize(("activation", "weight"), [("linear", 1.0), ("sigmoid", 1.0), ("tanh", -1.0)])
def test_numbers_that_are_no_probabilities_are_never_an_answer(
    constant: Callable[[str, float], Path], tmp_path: Path, activation: str, weight: float
) -> None:
    with pytest.raises(UsageError, match=r"add up to .*, not probabilities: it is of an earlier release, or damaged"):
        answers(constant(activation, weight), tmp_path)


def levels(folder: Path, number: int) -> list[Path]:
    """Pictures of one grey each, the first black, one level more for each."""
    return [write(folder / f"{n:03}.png", Image.fromarray(np.full((8, 8), n, np.uint8))) for n in range(number)]


def test_answers_are_in_the_order_of_the_files_whatever_becomes_of_some(tmp_path: Path) -> None:
    """More than two batches; among them what no picture is, and files that the main thread reads."""
    files = levels(tmp_path / "new", 150)
    for number in (0, 63, 64, 100):
        files[number].write_text("no picture")
    for number in (1, 65, 149):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(files[number], "TIFF")
    seen: list[tuple[int, int]] = []
    answers = list(predict(saved(tmp_path / "m.keras"), list_inputs(files), lambda *done: seen.append(done)))
    for number, answer in enumerate(answers):
        assert answer.path.endswith(f"{number:03}.png")
        if number in {0, 63, 64, 100}:
            assert answer.problem and not answer.probabilities
        else:
            assert answer.probabilities[1] == expected(number)
    assert seen == [(0, 150), (64, 150), (128, 150), (150, 150)]


@pytest.mark.parametrize(("number", "batches"), [(5, [5]), (64, [64]), (130, [64, 64, 64])])
def test_the_network_gets_batches_of_one_size(tmp_path: Path, number: int, batches: list[int]) -> None:
    import keras

    got: list[int] = []

    class Constant:
        """Gives the same for every image, and remembers how many it got."""

        weights: tuple[keras.Variable, ...] = ()

        def predict_on_batch(self, batch: Any) -> Any:
            got.append(len(batch))
            return np.full((len(batch), 2), 0.5, np.float32)

    files, needs = list_inputs(levels(tmp_path / "new", number)), about(saved(tmp_path / "m.keras"))
    assert len(list(classified(Constant(), needs, files, lambda _done, _all: None))) == number
    assert got == batches


def test_a_batch_is_read_ahead_and_no_more(tmp_path: Path) -> None:
    paths = levels(tmp_path / "new", 100)
    pictures = pictures_in(list_inputs(paths), about(saved(tmp_path / "m.keras")))
    assert isinstance(next(pictures), Picture)
    for path in paths[64:]:
        path.unlink()
    kinds = [type(picture) for picture in pictures]
    assert kinds[63:] == [FileRemark] * 36, "as they are gone, these had not been read"

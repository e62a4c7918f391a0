"""The line of an exception that a person needs."""

from __future__ import annotations

import pytest

from spaces.messages import MAX_LENGTH, first_line, sentence


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("no such thing", "no such thing"),
        ("no such thing\nand more", "no such thing"),
        ("\n\n  no such thing  \n", "no such thing"),
        ("", "ValueError"),
        (
            "Exception encountered when calling Dense.call().\n\n\x1b[1mIncompatible shapes\x1b[0m\n\n"
            "Arguments received by Dense.call():\n  • inputs=tf.Tensor(shape=(1, 2))",
            "Incompatible shapes",
        ),
        (
            "Exception encountered when calling Gate.call().\n\n\x1b[1m\x1b[0m\n\n"
            "Arguments received by Gate.call():\n  • x=1",
            "Exception encountered when calling Gate.call().",
        ),
        (
            "Graph execution error:\n\nDetected at node resize defined at (most recent call last):\n"
            "<stack traces unavailable>\n"
            "Detected unsupported operations when trying to compile graph",
            "Detected unsupported operations when trying to compile graph",
        ),
        (
            "Graph execution error:\n\nDetected at node while/EagerPyFunc defined at (most recent call last):\n"
            '  File "/home/me/net.py", line 29, in build\n\n  File "/lib/keras/layer.py", line 7, in call\n\n'
            "ValueError: no such picture\nTraceback (most recent call last):\n\n"
            '  File "/home/me/net.py", line 10, in read\n    raise ValueError("no such picture")\n\n'
            "ValueError: no such picture\n\n\n\t [[{{node while/EagerPyFunc}}]] [Op:__inference_f_87]",
            "ValueError: no such picture",
        ),
        (
            "in user code:\n\n"
            '    File "/home/me/net.py", line 29, in f  *\n        return g(x)\n               ^^^^\n'
            "    ValueError: Exception encountered when calling Gate.call().\n    \n"
            "    \x1b[1mCannot reshape\x1b[0m\n    \n    Arguments received by Gate.call():\n      • x=1",
            "Cannot reshape",
        ),
        (
            "Error when deserializing class 'Dense'.\n\nException encountered: no units",
            "Error when deserializing class 'Dense'.",
        ),
        ("x" * 1000, "x" * MAX_LENGTH),
    ],
)
def test_the_line_says_what_went_wrong_not_where(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == line


@pytest.mark.parametrize(
    ("message", "said"),
    [("no such thing", "RuntimeError: no such thing"), ("OSError: no such thing", "OSError: no such thing")],
)
def test_a_sentence_has_one_type(message: str, said: str) -> None:
    assert sentence(RuntimeError(message)) == said

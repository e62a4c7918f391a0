"""Workers and their threads, over a table of machines and of what fold runs need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.executors.workers import MAX_THREADS, USABLE, Machine, Need, choose

GB = 10**9
SMALL = Need(folds=5)  # networks from scratch, and heads on features: nothing that matters is known
PHOTOGRAPHS = Need(bytes=3 * GB, step=2e10, seconds=200.0, folds=5)  # a fine-tune at 224 pixels
BRIEF = Need(bytes=3 * GB, step=2e10, seconds=20.0, folds=5)  # the same on few images


@pytest.mark.parametrize(
    ("cores", "gigabytes", "gpus", "need", "words"),
    [
        (2, 16, 0, SMALL, "2 workers of 1 thread: one a core"),
        (8, 32, 0, SMALL, "8 workers of 1 thread: one a core"),
        (16, 64, 0, SMALL, "16 workers of 1 thread: one a core"),
        (64, 256, 0, SMALL, "64 workers of 1 thread: one a core"),
        (2, 16, 0, PHOTOGRAPHS, "2 workers of 1 thread: one a core"),
        (8, 32, 0, PHOTOGRAPHS, "7 workers of 1 thread: a fold run may need 3.0 GB of the 22 GB"),
        (16, 64, 0, PHOTOGRAPHS, "5 workers of 3 threads: a fold run takes about 3m20s of one thread"),
        (64, 256, 0, PHOTOGRAPHS, "21 workers of 3 threads: a fold run takes about 3m20s of one thread"),
        (64, 48, 0, PHOTOGRAPHS, "11 workers of 5 threads: a fold run may need 3.0 GB of the 34 GB"),
        (64, 256, 0, BRIEF, "59 workers of 1 thread: a fold run may need 3.0 GB of the 179 GB"),
        (2, 4, 0, PHOTOGRAPHS, "1 worker of 2 threads: a fold run may need 3.0 GB of the 3 GB"),
        (2, 2, 0, PHOTOGRAPHS, "1 worker of 2 threads: a fold run may need 3.0 GB of the 1 GB"),
        (
            64,
            256,
            0,
            Need(step=2e10, seconds=20.0, folds=5, runs=10),
            "10 workers of 6 threads: there are 10 fold runs at most",
        ),
        (64, 256, 0, Need(folds=5, runs=10), "10 workers of 1 thread: there are 10 fold runs at most"),
        (8, 64, 1, PHOTOGRAPHS, "1 worker of 1 thread: one a GPU"),
        (64, 256, 4, PHOTOGRAPHS, "4 workers of 1 thread: one a GPU"),
        (64, 256, 4, Need(folds=2, runs=2), "2 workers of 1 thread: there are 2 fold runs at most"),
        (16, 8, 4, PHOTOGRAPHS, "1 worker of 1 thread: a fold run may need 3.0 GB of the 6 GB"),
    ],
)
def test_workers_of_a_machine(cores: int, gigabytes: int, gpus: int, need: Need, words: str) -> None:
    assert choose(Machine(cores, gigabytes * GB, gpus), need).words == words


@given(
    st.builds(Machine, st.integers(1, 256), st.integers(1, 2**40), st.integers(0, 8)),
    st.builds(
        Need,
        st.integers(0, 2**36),
        st.floats(0, 1e12),
        st.floats(0, 1e5),
        st.integers(2, 20),
        st.none() | st.integers(1, 1000),
    ),
)
def test_no_machine_is_asked_for_more_than_it_has(machine: Machine, need: Need) -> None:
    chosen = choose(machine, need)
    assert 1 <= chosen.number <= (machine.gpus or machine.cores)
    assert 1 <= chosen.threads <= MAX_THREADS
    assert chosen.threads == 1 or chosen.number * chosen.threads <= machine.cores
    assert chosen.number == 1 or chosen.number * need.bytes <= USABLE * machine.memory

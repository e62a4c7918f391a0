"""The sections of the page as `search report --json` has them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reports.as_json import as_json
from search.results.importance import figures
from search.results.recall import recalls
from tests.studies import example, many, with_two_objectives


def test_each_class_has_its_share_with_an_interval() -> None:
    data = example().data()
    assert data.pooled is not None
    for row, expected in zip(as_json(data)["recall"], recalls(data.pooled.confusion), strict=True):
        assert (row["name"], row["recognized"]) == (data.study.classes[expected.label], expected.found)
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1
    assert as_json(example().data(probabilities={}))["recall"] == []


def test_a_class_without_images_has_no_share() -> None:
    records = example(("a", "b", "none"))
    images = tuple(replace(image, label=image.label % 2) for image in records.images)
    printed = json.loads(json.dumps(as_json(replace(records, images=images).data()), allow_nan=False))
    assert [row["share"] for row in printed["recall"] if row["name"] == "none"] == [None]


def test_costs_and_time_are_those_of_the_page() -> None:
    data = with_two_objectives("latency").data()
    printed = as_json(data)
    assert printed["speed"]["cost"] == "milliseconds" and printed["size"]["cost"] == "weights"
    assert {"number": 7, "milliseconds": 8.0} in printed["milliseconds"]
    assert printed["quickest_of_ties"] in data.ties
    assert sum(part["seconds"] for part in printed["spent"]) == pytest.approx(data.spent_seconds)
    alone = as_json(replace(example(), trials=(), runs=(), probabilities={}).data())
    assert (alone["speed"], alone["size"], alone["spent"]) == (None, None, [])


def test_importance_has_the_intervals_of_the_page() -> None:
    data = many(60).data()
    weights, printed = figures(data), as_json(data)["importance"]
    assert printed["trials"] == weights.weighed and printed["why_not"] is None
    assert [row["name"] for row in printed["parameters"]] == [*weights.importance]
    for row in printed["parameters"]:
        assert row["low"] <= row["share"] <= row["high"]
        assert row["more_than_luck"] == (row["name"] in weights.clear)
    few = as_json(example().data())["importance"]
    assert few["parameters"] == [] and "few trials" in few["why_not"]

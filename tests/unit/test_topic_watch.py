"""What a worker thinks of topics that are not those it started with."""

import pytest

from domain.errors import TopicError
from stream.topic_watch import check

START = {"interactions": "a", "items": "b", "users": "c"}


def test_the_same_topics_and_new_ones_beside_them_are_no_fault():
    check(START, START)
    check(START, START | {"models": "d"})


def test_each_topic_that_is_missing_or_was_created_again_is_named_with_what_to_do():
    with pytest.raises(TopicError) as refused:
        check(START, {"interactions": "z", "items": "b"})
    told = str(refused.value)
    assert told.startswith(
        "topic users was deleted; topic interactions was deleted and created again. Stop the workers"
    )
    assert "items was deleted" not in told and "freshet topics create" in told

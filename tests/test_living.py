"""A table of what somebody else holds, without callbacks that swallow Ctrl-C."""

import weakref

from bptt.living import FIRST_SWEEP, Living


class Thing:
    """Something that can be held weakly."""


def test_a_number_gives_its_object_as_long_as_that_lives():
    table, thing = Living(), Thing()
    table[3] = thing
    assert table.get(3) is thing
    assert (table.get(4), len(table)) == (None, 1)
    del thing
    assert (table.get(3), len(table)) == (None, 0)


def test_no_reference_calls_python_when_its_object_dies():
    table, thing = Living(), Thing()
    table[3] = thing
    assert [one.__callback__ for one in weakref.getweakrefs(thing)] == [None]


def test_entries_of_what_is_gone_are_swept():
    table, kept = Living(), [Thing() for _ in range(5)]
    for number, thing in enumerate(kept):
        table[number] = thing
    for number in range(10, 1000):
        table[number] = Thing()
    assert len(table._references) <= 5 + 2 * FIRST_SWEEP
    assert [table.get(number) for number in range(5)] == kept

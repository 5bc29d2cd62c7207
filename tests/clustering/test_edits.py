"""The log of edits: what each operation does, and that replaying it gives the same state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.clustering.edits import (
    EDITS,
    EditLog,
    GroupState,
    Merge,
    Move,
    Rename,
    Split,
    from_json,
    to_json,
)
from sbert_cluster.errors import RunFolderError, UsageError

BASE = np.array([0, 0, 0, 1, 1, 2, -1])


def test_each_operation_does_what_it_says():
    """Numbers stay, new ones are new, names go with their clusters."""
    log = EditLog(BASE)
    log.do(Rename(1, "boots"), Rename(2, "tents"))
    assert log.do(Merge((1, 2))).labels.tolist() == [0, 0, 0, 1, 1, 1, -1]
    assert log.state.names == {1: "boots"}
    assert log.do(Split(0, ((2,), (1,)))).labels.tolist() == [0, 4, 3, 1, 1, 1, -1]
    assert log.do(Move((6, 0), 1)).labels.tolist() == [1, 4, 3, 1, 1, 1, 1]
    assert log.state.clusters == [1, 3, 4]
    assert log.do(Rename(1, "")).names == {}
    assert BASE.tolist() == [0, 0, 0, 1, 1, 2, -1]


def test_undo_and_redo():
    """Back to the start and forth again; something new ends what can be redone."""
    log = EditLog(BASE)
    merged = log.do(Merge((0, 1)))
    log.do(Rename(0, "x"))
    assert log.undo() == merged
    assert log.undo().labels.tolist() == BASE.tolist()
    assert not log.can_undo
    log.redo()
    log.do(Rename(2, "y"))
    assert not log.can_redo
    with pytest.raises(UsageError, match="nothing to redo"):
        log.redo()


@pytest.mark.parametrize(
    "edit",
    [
        Merge((0,)),
        Merge((0, 0)),
        Merge((0, 9)),
        Merge((-1, 0)),
        Split(0, ((0, 1, 2),)),
        Split(0, ((3,),)),
        Split(0, ((0,), (0,))),
        Split(0, ((),)),
        Split(7, ((0,),)),
        Rename(7, "x"),
        Move((99,), 0),
        Move((0,), 7),
        Move((), 0),
    ],
)
def test_wrong_operations_change_nothing(edit, tmp_path):
    """They are refused, and neither the state nor the file knows of them."""
    log = EditLog.open(tmp_path, BASE)
    with pytest.raises(UsageError):
        log.do(Rename(1, "kept back"), edit)
    assert log.state == GroupState.of(BASE)
    assert not (tmp_path / EDITS).exists()


@st.composite
def _sessions(draw):
    """A log after some operations, undos and redos that were possible."""
    log = EditLog(np.array(draw(st.lists(st.integers(-1, 4), min_size=3, max_size=12))))
    for _ in range(draw(st.integers(0, 12))):
        clusters, rows = log.state.clusters, range(len(log.state.labels))
        kind = draw(st.sampled_from(["merge", "split", "rename", "move", "undo", "redo"]))
        if kind == "merge" and len(clusters) > 1:
            log.do(Merge(tuple(draw(st.permutations(clusters))[:2])))
        elif kind == "split" and clusters:
            cluster = draw(st.sampled_from(clusters))
            inside = np.flatnonzero(log.state.labels == cluster).tolist()
            if len(inside) > 1:
                log.do(Split(cluster, (tuple(inside[1:]),)))
        elif kind == "rename" and clusters:
            log.do(Rename(draw(st.sampled_from(clusters)), draw(st.text(max_size=5))))
        elif kind == "move":
            target = draw(st.sampled_from([-1, *clusters]))
            log.do(Move((draw(st.sampled_from(rows)),), target))
        elif kind == "undo" and log.can_undo:
            log.undo()
        elif kind == "redo" and log.can_redo:
            log.redo()
    return log


@given(_sessions())
@settings(max_examples=150)
def test_replaying_the_log_gives_the_same_state(log):
    """Through JSON, with all undos and redos in it; and undoing everything gives the base."""
    base = log._states[0].labels
    again = EditLog(base, [from_json(to_json(entry)) for entry in log.entries])
    assert again.state.labels.tolist() == log.state.labels.tolist()
    assert again.state.names == log.state.names
    assert again.state.next_cluster == log.state.next_cluster
    assert again.done == log.done
    while again.can_undo:
        again.undo()
    assert again.state.labels.tolist() == base.tolist()


def test_the_file_only_grows(tmp_path):
    """Every operation is a line; another reader sees the same state."""
    log = EditLog.open(tmp_path, BASE)
    log.do(Merge((0, 1)))
    log.do(Rename(0, "a\nb \u2028 é"))
    log.undo()
    lines = (tmp_path / EDITS).read_text(encoding="utf-8")
    assert lines.count("\n") == 3
    assert EditLog.read(tmp_path, BASE).state.labels.tolist() == log.state.labels.tolist()
    log.redo()
    assert (tmp_path / EDITS).read_text(encoding="utf-8").startswith(lines)
    assert EditLog.read(tmp_path, BASE).state.names == {0: "a\nb \u2028 é"}


@pytest.mark.parametrize(
    "line",
    ["nonsense", '{"operation": "explode"}', '{"operation": "merge"}', '{"operation": "undo"}',
     '{"operation": "rename", "cluster": 9, "name": "x"}', "[1]"],
)  # fmt: skip
def test_a_broken_log_is_told(tmp_path, line):
    """With the file's name and what to do."""
    (tmp_path / EDITS).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(RunFolderError, match=EDITS):
        EditLog.read(tmp_path, BASE)

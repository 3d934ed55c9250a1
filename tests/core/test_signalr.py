import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core import signalr
from code_evolver.core.errors import HubRefused
from code_evolver.core.signalr import BadRecord, Oversized, Splitter

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.lists(json_values, max_size=3), st.text(max_size=8))
def test_what_is_written_is_read_again_and_holds_one_separator(arguments, target):
    written = signalr.encode(signalr.invocation(target, arguments, "1"))
    assert written.count(b"\x1e") == 1
    assert signalr.parse(written[:-1]) == {"type": 1, "invocationId": "1", "target": target, "arguments": arguments}


def test_non_ascii_is_kept_and_half_a_surrogate_pair_is_escaped():
    assert signalr.encode({"a": "é\ud800\x1e"}) == '{"a":"é\\ud800\\u001e"}'.encode() + b"\x1e"


@pytest.mark.parametrize("value", [float("nan"), b"bytes", {1, 2}])
def test_what_json_cannot_hold_is_not_written(value):
    with pytest.raises(BadRecord, match="cannot be written"):
        signalr.encode({"a": value})


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[1]", b'"x"', b'{"a":"\xff"}', b"{}x", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"]
)
def test_a_broken_record_is_named_bad(record):
    with pytest.raises(BadRecord, match=r"^bad "):
        signalr.parse(record)


@pytest.mark.parametrize("record", [b'{"type":6,"new":1}', b'{"type":1,"type":6,"new":1}', b' {"type":6,"new":1}\n'])
def test_unknown_fields_repeated_keys_and_spaces_are_accepted(record):
    assert signalr.parse(record) == {"type": 6, "new": 1}


def test_a_refused_handshake_is_told():
    signalr.read_handshake(b"{}")
    with pytest.raises(HubRefused, match="version 99"):
        signalr.read_handshake(b'{"error":"no version 99"}')
    with pytest.raises(HubRefused, match="<html>"):
        signalr.read_handshake(b"<html>")


def test_records_look_as_in_the_protocol():
    made = [
        signalr.invocation("M", (1,)), signalr.stream_invocation("S", [2], "1"), signalr.stream_item("1", None),
        signalr.completion("1", None), signalr.completion_error("1", "no"), signalr.completion_void("1"),
        signalr.cancel_invocation("1"), signalr.ping(), signalr.close(), signalr.close("why", allow_reconnect=True),
    ]  # fmt: skip
    assert made == [
        {"type": 1, "target": "M", "arguments": [1]}, {"type": 4, "invocationId": "1", "target": "S", "arguments": [2]},
        {"type": 2, "invocationId": "1", "item": None}, {"type": 3, "invocationId": "1", "result": None},
        {"type": 3, "invocationId": "1", "error": "no"}, {"type": 3, "invocationId": "1"}, {"type": 5, "invocationId": "1"},
        {"type": 6}, {"type": 7}, {"type": 7, "error": "why", "allowReconnect": True},
    ]  # fmt: skip


@settings(max_examples=100)
@given(
    st.lists(st.binary(max_size=12).filter(lambda data: b"\x1e" not in data)), st.lists(st.integers(1, 9), min_size=1)
)
def test_the_same_records_come_out_however_the_stream_is_cut(records, cuts):
    stream = b"".join(record + b"\x1e" for record in records)
    splitter, found, at = Splitter(8), [], 0
    while at < len(stream):
        size = cuts[at % len(cuts)]
        found += splitter.feed(stream[at : at + size])
        at += size
    assert [one.length if isinstance(one, Oversized) else one for one in found] == [
        len(record) if len(record) > 8 else record for record in records
    ]
    assert splitter.unfinished() == 0


def test_a_splitter_keeps_nothing_of_a_record_over_the_limit():
    splitter = Splitter(10)
    assert splitter.feed(b"x" * 8) == []
    assert splitter.feed(b"x" * 8) == []
    assert not splitter._held
    assert splitter.unfinished() == 16
    (marker,) = splitter.feed(b"x\x1e")
    assert isinstance(marker, Oversized)
    assert (marker, marker.length, marker.asked_as) == (b"", 17, None)


def test_a_large_record_in_small_pieces_is_held_once():
    splitter, piece = Splitter(8_000_000), b"x" * 4096
    tracemalloc.start()
    try:
        for _ in range(1_500):
            assert splitter.feed(piece) == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.2 * 1_500 * 4096
    assert splitter.feed(b"\x1e") == [piece * 1_500]


@pytest.mark.parametrize("cut", [1, 30, 100, 1000])
def test_of_a_call_over_the_limit_it_is_known_under_which_id_it_wants_its_result(cut):
    asked = signalr.encode(signalr.invocation("M", ["x" * 300], "s12"))
    told = signalr.encode(signalr.invocation("M", ['{"type":1,"invocationId":"s13"' * 20]))
    stream = asked + told + signalr.encode(signalr.stream_item("s14", "x" * 300))
    splitter = Splitter(100)
    found = [one for at in range(0, len(stream), cut) for one in splitter.feed(stream[at : at + cut])]
    assert [one.asked_as for one in found if isinstance(one, Oversized)] == ["s12", None, None]


HEAD = signalr.head_of_push("TaskHub")


@settings(max_examples=50)
@given(st.lists(json_values, max_size=3), st.dictionaries(st.text(max_size=4), json_values, max_size=2))
def test_a_plain_push_is_read_as_any_record_is(arguments, more):
    record = signalr.encode({**signalr.invocation("TaskHub", arguments), **more})[:-1]
    plain = signalr.read_plain_push(record, HEAD)
    if plain is not None:
        assert [plain[0]] == signalr.parse(record)["arguments"]
        assert json.loads(plain[1]) == plain[0]
    else:
        assert more or len(arguments) != 1 or type(arguments[0]) is not dict


@pytest.mark.parametrize(
    "record",
    [
        b'{"type":1,"target":"TaskHub","arguments":[{"a":1}],"arguments":[{"b":1}]}',
        b'{"type":1,"target":"TaskHub","arguments":[{"a":1},{"b":1}]}',
        b'{"type":1,"target":"TaskHub","arguments":[{"a":1}],"x":[{"b":1}]}',
        b'{"type":1,"target":"TaskHub","arguments":[ {"a":1}]}',
        b'{"type":1,"target":"TaskHub","arguments":[{"a":"\xff"}]}',
        b'{"type":1,"target":"TaskHub","arguments":[{"a":1]}]}',
        b'{"type":1,"target":"TaskHubs","arguments":[{"a":1}]}',
        b'{"type":1,"target":"TaskHub","arguments":[]}',
        b"",
    ],
)
def test_what_is_no_plain_push_is_left_to_the_whole_reading(record):
    assert signalr.read_plain_push(record, HEAD) is None
    assert signalr.read_plain_push(record, b"") is None

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from specreason.engines.protocol import Prompt, Segment
from specreason.engines.slots import Slots


def prompt(text: str) -> Prompt:
    return Prompt().plus(Segment(text))


def slot_of(slots: Slots, session: str, text: str = "") -> int | None:
    with slots.held(session, prompt(text)) as slot:
        return slot


def test_a_conversation_keeps_its_slot() -> None:
    slots = Slots(2)
    first = slot_of(slots, "a", "one")
    assert slot_of(slots, "b", "two") != first
    assert slot_of(slots, "a", "one and more") == first


def test_a_slot_with_a_request_under_way_is_never_given_to_another_conversation() -> None:
    slots = Slots(2)
    with slots.held("a", prompt("one")) as a, slots.held("b", prompt("two")) as b:
        assert {a, b} == {0, 1}
        assert slot_of(slots, "c", "three") is None  # the server queues it


def test_where_conversations_outnumber_slots_the_one_idle_for_longest_gives_way() -> None:
    slots = Slots(2)
    a, b = slot_of(slots, "a"), slot_of(slots, "b")
    assert slot_of(slots, "a") == a
    assert slot_of(slots, "c") == b


def test_the_slots_of_ended_conversations_go_first_with_those_of_their_branches() -> None:
    slots = Slots(3)
    a, branch, other = slot_of(slots, "a"), slot_of(slots, "a/1"), slot_of(slots, "b")
    slots.end("a")
    assert {slot_of(slots, "c"), slot_of(slots, "d")} == {a, branch}
    assert slot_of(slots, "b") == other


def test_ending_a_conversation_ends_none_whose_name_begins_alike() -> None:
    slots = Slots(2)
    slot_of(slots, "a")
    slot_of(slots, "ab")
    slots.end("a")
    assert slot_of(slots, "c") == 0
    assert slot_of(slots, "ab") == 1


def test_the_next_turn_of_a_chat_finds_the_slot_of_the_turn_before() -> None:
    slots = Slots(3)
    slot_of(slots, "a", "the first turn of one chat")
    slot_of(slots, "b", "another chat, and a long one")
    slots.end("a")
    slots.end("b")
    assert slot_of(slots, "next", "another chat, and a long one, which goes on") == 1


def test_without_slots_or_a_session_none_is_named() -> None:
    assert slot_of(Slots(0), "a") is None
    assert slot_of(Slots(2), "") is None


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_no_two_conversations_at_work_share_a_slot(count: int, moves: list[tuple[str, bool]]) -> None:
    """Requests begin and end in any order; now and then a conversation ends with its request."""
    slots = Slots(count)
    running: dict[str, ExitStack] = {}
    held: dict[str, int] = {}
    for session, over in moves:
        if session in running:
            running.pop(session).close()
            held.pop(session, None)
            if over:
                slots.end(session)
            continue
        running[session] = ExitStack()
        slot = running[session].enter_context(slots.held(session, prompt(session)))
        assert slot not in held.values()
        assert slot is not None or len(held) == count
        if slot is not None:
            held[session] = slot

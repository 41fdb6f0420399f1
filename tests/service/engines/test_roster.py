"""Tests of service.engines.roster."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from service.engines.roster import Member, Roster
from service.engines.vllm import Server
from service.engines.wire import Gone, Refused


@pytest.fixture
def servers() -> Iterator[list[Member]]:
    with ExitStack() as stack:
        yield [
            Member(stack.enter_context(closing(Server(f"http://127.0.0.1:{number}"))))
            for number in range(1, 6)
        ]


@pytest.mark.parametrize(("count", "quorum"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_half_of_the_servers_are_a_quorum(servers: list[Member], count: int, quorum: int) -> None:
    roster = Roster(servers[:count])
    assert roster.quorum == quorum
    for member in roster.members:
        roster.away(member, Gone("it starts"))
    for member in servers[: quorum - 1]:
        hold(roster, member, 1)
    assert not roster.is_held(1)
    hold(roster, servers[quorum - 1], 1)
    assert roster.is_held(1)


def hold(roster: Roster, member: Member, *generations: int) -> None:
    roster.hold(member, frozenset(generations))
    roster.back(member)


def test_nothing_is_held_before_every_server_was_looked_at(servers: list[Member]) -> None:
    roster = Roster(servers[:2])
    hold(roster, servers[0], 1)
    assert not roster.is_held(1)
    roster.away(servers[1], Gone("it starts"))
    assert roster.is_held(1)


def test_a_server_that_is_well_but_behind_is_waited_for(servers: list[Member]) -> None:
    roster = Roster(servers[:3])
    for member in servers[:2]:
        hold(roster, member, 1)
    hold(roster, servers[2])
    assert not roster.is_held(1)
    roster.away(servers[2], Gone("it ended"))
    assert roster.is_held(1)


def test_the_least_busy_holder_is_asked(servers: list[Member]) -> None:
    roster = Roster(servers[:3])
    hold(roster, servers[0], 1)
    hold(roster, servers[1], 1, 2)
    assert [roster.borrow(1), roster.borrow(1)] == [servers[0], servers[1]]
    assert roster.borrow(2) is servers[1]
    assert roster.borrow(1) is servers[0]
    roster.give_back(servers[1])
    roster.give_back(servers[1])
    assert roster.borrow(1) is servers[1]
    assert roster.borrow(3) is None


def test_a_server_that_went_away_holds_nothing_and_refuses_nothing(servers: list[Member]) -> None:
    roster = Roster(servers[:1])
    hold(roster, servers[0], 1)
    roster.refuse(servers[0], 2, Refused("rank"))
    assert str(roster.refusal(2)) == "rank"
    assert roster.away(servers[0], Gone("it ended"))
    assert not roster.away(servers[0], Gone("it ended"))  # no news
    assert (roster.borrow(1), roster.refusal(2)) == (None, None)
    assert str(roster.lost()) == "0 of 1 vLLM servers are ready: it ended"
    assert roster.back(servers[0])
    assert not roster.back(servers[0])


def test_what_is_dropped_is_not_wanted(servers: list[Member]) -> None:
    roster = Roster(servers[:1])
    roster.want(1, None)
    roster.refuse(servers[0], 1, Refused("rank"))
    roster.drop(1)
    assert (roster.wanted(), roster.refusal(1)) == ({}, None)

"""The adaptive limit: each rule with a clock of its own, then whole runs in virtual time."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoexec.decide.concurrency import Controller, Ticket
from autoexec.decide.gil_bound import GilBound
from autoexec.decide.slow_start import SlowStart
from autoexec.records import Ending
from tests.decide.services import (
    SERVICES,
    Outcome,
    Run,
    Service,
    adaptive,
    best_fixed,
    fixed,
    mean_ratio,
)

OK, ERROR, REFUSED, TIMEOUT = Ending.OK, Ending.ERROR, Ending.REFUSED, Ending.TIMEOUT
SEEDS = (0, 1)


class Client:
    """Keeps a controller busy: as many calls as it lets, all of one latency."""

    def __init__(self, controller: Controller) -> None:
        self.controller, self.now = controller, 0.0
        self.flying: list[Ticket] = []  # in the order in which they began

    def fill(self) -> None:
        while len(self.flying) < self.controller.limit(self.now):
            self.flying.append(self.controller.started(self.now))

    def end(self, place: int, ending: Ending = OK) -> Ticket:
        """One call ends now; nothing follows yet."""
        ticket = self.flying.pop(place)
        self.controller.ended(ticket, self.now, ending)
        return ticket

    def turns(self, count: float, latency_s: float, ending: Ending = OK) -> Client:
        """Go on for so many latencies."""
        until = self.now + count * latency_s
        self.fill()
        while self.now < until:
            ends = self.flying[0].begun + latency_s if self.flying else until
            asks = self.controller.next_change(self.now) or until
            self.now = max(self.now, min(ends, asks, until))
            if ends <= self.now and self.flying:
                self.end(0, ending)
            self.fill()
        return self

    @property
    def limit(self) -> int:
        return self.controller.limit(self.now)


def opened(cap: int = 256) -> Client:
    """A client whose controller has found nothing that holds it back."""
    return Client(Controller(cap, latency_s=0.1)).turns(20, 0.1)


# -- the opening ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latency", [None, 0.01, 0.1, 2.0])
def test_a_short_run_goes_at_once(latency: float | None) -> None:
    """64 items are all out within 15 % of a latency, or within some milliseconds if none is known."""
    controller = Controller(256, items=64, latency_s=latency)
    controller.started(0.0)
    assert controller.limit(0.0) >= 8
    # A thread takes 100 µs to start: 64 of them are there after some milliseconds at the earliest.
    assert controller.limit(max(0.0061, 0.151 * (latency or 0.0))) == 64


def test_an_unknown_latency_doubles_every_70_ms() -> None:
    """Without an answer a long run widens by the clock alone, up to the cap."""
    controller = Controller(200, items=5000)
    controller.started(0.0)
    seen = [controller.limit(0.021 + 0.07 * step) for step in range(5)]
    assert seen == [16, 32, 64, 128, 200]
    assert controller.reason in ("opening", "free: nothing holds it back but the cap")


def test_the_clock_stops_after_one_latency() -> None:
    """What one latency has not brought, answers must."""
    controller = Controller(256, items=5000, latency_s=0.1)
    controller.started(0.0)
    at_once = controller.limit(0.1)
    assert 16 < at_once < 64
    assert controller.limit(5.0) == at_once
    assert controller.next_change(5.0) is None


def test_a_latency_learned_late_stops_the_clock() -> None:
    """The profiled item may end when others are already out."""
    controller = Controller(256, items=5000)
    controller.started(0.0)
    controller.limit(0.05)
    controller.profiled(0.06, 0.0)
    assert controller.limit(0.06) == controller.limit(1.0)


def test_the_clock_says_when_to_ask_again() -> None:
    """Asked whenever it says, the limit grows each time until there is no next time."""
    controller = Controller(256, items=64, latency_s=0.1)
    controller.started(0.0)
    now, seen = 0.0, [controller.limit(0.0)]
    while (change := controller.next_change(now)) is not None:
        assert change > now
        now = change
        seen.append(controller.limit(now))
    assert seen == sorted(seen)
    assert seen[-1] == 64
    assert now < 0.02


@given(
    cap=st.integers(1, 500),
    items=st.none() | st.integers(0, 100_000),
    latency=st.none() | st.floats(1e-5, 100.0),
    elapsed=st.lists(st.floats(0.0, 1000.0), min_size=2),
)
def test_the_clock_never_goes_back(
    cap: int, items: int | None, latency: float | None, elapsed: list[float]
) -> None:
    """More time, more calls, never more than the cap, and the next step is always ahead."""
    opening = SlowStart(cap, items, latency)
    widths = [opening.width(seconds) for seconds in sorted(elapsed)]
    assert widths == sorted(widths)
    assert 1 <= widths[0] <= widths[-1] <= cap
    for seconds in elapsed:
        step = opening.next_step(seconds)
        assert step is None or step > seconds


# -- answers ----------------------------------------------------------------------------------------------


def test_nothing_holds_back_a_service_without_limit() -> None:
    """Even latencies let the number grow to the cap, and it says so."""
    client = opened(200)
    assert client.limit == 200
    assert client.controller.reason == "free: nothing holds it back but the cap"


def test_it_is_not_held_back_by_one_slow_call() -> None:
    """A straggler is no queue."""
    client = opened()
    straggler = client.flying.pop(100)
    client.turns(5, 0.1)
    client.controller.ended(straggler, client.now, OK)
    assert client.turns(2, 0.1).limit == 256


def test_a_service_that_gets_slower_by_itself_is_not_starved() -> None:
    """Three times slower whatever the number: a moment of doubt, then full width."""
    client = opened()
    widths = [client.turns(0.2, 0.3).limit for _ in range(60)]
    assert widths[-1] == 256
    assert min(widths) >= 64


def test_a_queue_is_named() -> None:
    """The reason names about the number that the service serves at once."""
    pilot = Controller(256, items=480, latency_s=0.1)
    Run(SERVICES["knee 16"], pilot, 0).outcome()
    head, _, tail = pilot.reason.partition("about ")
    assert head == "the service queues above "
    assert 13 <= int(tail.split()[0]) <= 19


def test_lost_capacity_is_found_again() -> None:
    """A service that serves 64, then 6, then 64 again is used to the full in the end."""
    service = Service(6000, slots=lambda now: 6 if 1 <= now < 2 else 64)
    run = adaptive(service, 0)
    while_low = [limit for now, limit in run.steps if 1.9 < now < 2.0]
    assert all(limit < 64 for limit in while_low)
    assert max(limit for now, limit in run.steps if 3.5 < now < 6.0) >= 64


def test_a_hiccup_of_the_client_is_not_a_queue() -> None:
    """All calls of a moment come 6 ms late, as when this process did not get the GIL: that is doubted."""
    client = opened()
    client.turns(1, 0.106)
    assert client.turns(3, 0.1).limit == 256


def test_one_at_a_time_is_no_dead_end() -> None:
    """A service that serves one at a time for long, and then many: more are tried even from one."""
    run = adaptive(Service(1500, latency_s=0.05, slots=lambda now: 1 if now < 8 else 64), 0)
    assert any(limit <= 2 for now, limit in run.steps if now < 8)
    assert max(limit for now, limit in run.steps if now > 8) >= 48


def test_a_lull_is_not_a_queue() -> None:
    """Calls that begin again after nobody asked for long are judged by themselves."""
    client = opened()
    for _ in range(10):
        while client.flying:
            client.now = max(client.now, client.flying[0].begun + 0.1)
            client.end(0)
        client.now += 5.0
        client.turns(1.5, 0.1)
    assert client.turns(5, 0.1).limit == 256


def test_errors_say_nothing_about_latency() -> None:
    """Calls that fail at once neither widen nor narrow the limit, and do not stop the judging of others."""
    client = opened()
    assert client.turns(50, 0.001, ERROR).limit == 256
    assert client.turns(20, 0.1).limit == 256
    assert client.turns(30, 0.3).limit == 256, "still judged: slower by itself was noticed"


def test_a_timeout_is_a_slow_answer() -> None:
    """Calls that begin to time out look like a queue."""
    client = opened()
    assert client.turns(2, 2.0, TIMEOUT).limit < 256


# -- refusals ---------------------------------------------------------------------------------------------


def test_a_burst_of_refusals_cuts_once() -> None:
    """All calls that had begun before the first refusal arrived count as one."""
    client = opened()
    client.now += 0.01
    first = client.end(128, REFUSED)
    assert client.limit == first.in_flight // 2
    while len(client.flying) > 128:
        client.end(128, REFUSED)
    assert client.limit == first.in_flight // 2
    assert client.controller.in_flight == 128


def test_a_second_burst_cuts_again() -> None:
    """A call that began after the cut and is refused, too, cuts once more."""
    client = opened()
    client.end(-1, REFUSED)
    before = client.turns(3, 0.1).limit
    client.end(-1, REFUSED)
    assert client.limit <= before / 2 + 1


def test_a_number_refused_is_kept_away_from() -> None:
    """After a refusal above 40 at once the limit comes back to somewhat below, and says why."""
    client = Client(Controller(256, items=5000, latency_s=0.1))
    while len(client.flying) <= 40:
        client.turns(0.1, 0.1)
    assert client.end(-1, REFUSED).in_flight > 40
    client.turns(10, 0.1)
    assert 30 <= client.limit <= 40
    assert client.controller.reason.startswith("refused above 4")
    assert client.controller.reason.endswith(" at once")


def test_a_rate_is_learned_and_kept() -> None:
    """A service with 200 calls a second refuses now and then at first, and hardly ever later."""
    reasons = set()

    class Heard(Controller):
        def limit(self, now: float) -> int:
            reasons.add(self.reason)
            return super().limit(now)

    run = Run(Service(4000, rate=200), Heard(256, items=4000, latency_s=0.1), 0).outcome()
    assert run.refused < 0.01
    assert run.seconds < 1.15 * 4000 / 200
    assert "refused above 200 calls per second" in reasons


def test_an_outage_is_no_limit() -> None:
    """A service that refuses everything for two seconds is at full width again soon after."""
    run = adaptive(Service(6000, down=lambda now: now < 2.0, retry_after_s=0.2), 0)
    assert run.steps[-1][1] == 256
    assert run.refused < 0.02


def test_a_pause_is_obeyed() -> None:
    """Nothing starts until then; then starts are spread over one latency."""
    client = opened()
    client.controller.pause(client.now + 3.0)
    assert client.limit == 0
    assert client.controller.next_change(client.now) == client.now + 3.0
    assert client.controller.reason == "paused for 3 s by Retry-After"
    widths = [client.controller.limit(client.now + 3.0 + share * 0.1) for share in (0.0, 0.5, 1.01)]
    assert widths[0] == 1
    assert 100 < widths[1] < 150
    assert widths[2] == 256


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Two refusals with different wishes: the longer one counts."""
    controller = Controller(8)
    controller.pause(5.0)
    controller.pause(2.0)
    assert controller.limit(3.0) == 0
    assert controller.next_change(3.0) == 5.0


# -- the GIL ----------------------------------------------------------------------------------------------


def test_the_gil_bounds_calls_that_compute() -> None:
    """Half waiting, half GIL: some three calls keep it busy, and more would only queue."""
    controller = Controller(256, latency_s=0.02, held_s=0.01)
    assert controller.limit(0.0) == 3
    assert controller.reason == "the GIL: calls hold it 50 % of their time"


def test_a_little_gil_is_everybody_s() -> None:
    """What any call in a thread holds anyway is no reason to narrow."""
    bound = GilBound()
    bound.note(0.1, 0.0003)
    assert bound.limit() == float("inf")


def test_a_busy_gil_does_not_raise_its_own_bound() -> None:
    """Waits that contain the queue for the GIL must not be taken for waiting."""
    bound = GilBound()
    bound.note(0.02, 0.01)
    for step in range(1000):
        bound.note(0.05, 0.01, now=step * 0.01)
    assert bound.limit() == pytest.approx(3.25)


def test_longer_waits_raise_the_gil_bound() -> None:
    """With the GIL mostly free, the waits are the other side's."""
    bound = GilBound()
    bound.note(0.02, 0.01)
    for step in range(1000):
        bound.note(0.11, 0.01, now=step * 0.05)
    assert bound.limit() == pytest.approx(14.5)


def test_a_bound_met_in_a_crowd_comes_down() -> None:
    """Learned only while the GIL was busy, it sinks until the GIL is not."""
    bound = GilBound()
    for step in range(1000):
        bound.note(0.5, 0.01, now=step * 0.01)
    assert bound.limit() < 10


def test_one_gil_bounds_several_controllers() -> None:
    """What the calls of one hold of it narrows the other, which learns of it with its next answer."""
    bound = GilBound()
    one, other = (Controller(256, latency_s=0.02, gil=bound) for _ in range(2))
    waiting = other.started(0.0)
    for step in range(64):
        one.ended(one.started(step * 0.02), step * 0.02 + 0.02, OK, held_s=0.01)
    assert one.limit(2.0) == 3
    other.ended(waiting, 2.0, OK)
    assert other.limit(2.0) == 3
    assert other.gil is bound and other.reason.startswith("the GIL")


def test_a_gil_that_is_not_watched_bounds_nothing() -> None:
    """Without one there is nothing to learn from what calls hold."""
    controller = Controller(256, latency_s=0.02)
    for step in range(64):
        controller.ended(controller.started(step * 0.02), step * 0.02 + 0.02, OK, held_s=None)
    assert controller.gil.most == float("inf")


# -- always -----------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.sampled_from([*Ending, "start", "pause", "profiled"]), st.floats(0.0, 0.5), st.integers(0, 300)
    ),
    max_size=300,
)


@given(
    cap=st.integers(1, 300),
    items=st.none() | st.integers(0, 1000),
    latency=st.none() | st.floats(1e-4, 3.0),
    held=st.floats(0.0, 0.1),
    events=EVENTS,
)
def test_whatever_happens(
    cap: int,
    items: int | None,
    latency: float | None,
    held: float,
    events: list[tuple[Ending | str, float, int]],
) -> None:
    """The limit stays between 0 and the cap, is 0 only with a time to ask again, and calls are counted."""
    controller = Controller(cap, items=items, latency_s=latency, held_s=held)
    flying: list[Ticket] = []
    now = 0.0
    for event, wait, which in events:
        now += wait
        if event == "start":
            room = max(0, controller.limit(now) - len(flying))
            flying += [controller.started(now) for _ in range(min(which, room))]
        elif event == "pause":
            controller.pause(now + wait)
        elif event == "profiled":
            controller.profiled(wait + 1e-4, held)
        elif flying:
            controller.ended(flying.pop(which % len(flying)), now, Ending(event), held_s=min(held, wait))
        limit = controller.limit(now)
        assert controller.in_flight == len(flying)
        assert 0 <= limit <= cap
        change = controller.next_change(now)
        assert change is None or change > now
        assert limit or change is not None
        assert controller.reason
    assert_wakes_up(controller, now)


def assert_wakes_up(controller: Controller, now: float) -> None:
    """Asked when it says, it lets something begin before long."""
    for _ in range(20_000):
        if controller.limit(now) > 0:
            return
        change = controller.next_change(now)
        assert change is not None
        now = change
    pytest.fail("the limit stays 0")


@given(
    seed=st.integers(0, 1000),
    slots=st.integers(1, 40),
    most=st.integers(2, 60),
    items=st.integers(1, 150),
    profiled=st.booleans(),
)
def test_every_run_ends(seed: int, slots: int, most: int, items: int, profiled: bool) -> None:
    """All items of any service are served in the end."""
    service = Service(items, slots=lambda now: slots, most=most, retry_after_s=0.1)
    run = adaptive(service, seed, profiled=profiled)
    assert run.calls >= items


# -- whole runs -------------------------------------------------------------------------------------------


@functools.cache
def runs(name: str, profiled: bool) -> list[Outcome]:
    """One run per seed."""
    return [adaptive(SERVICES[name], seed, profiled=profiled) for seed in SEEDS]


@functools.cache
def ratio(name: str, profiled: bool) -> float:
    """Time over that of the best fixed count, in the mean."""
    found = zip(SEEDS, runs(name, profiled), strict=True)
    return mean_ratio([run.seconds / best_fixed(name, seed)[1] for seed, run in found])


@pytest.mark.slow
@pytest.mark.parametrize("profiled", [True, False], ids=["profiled", "latency not known"])
@pytest.mark.parametrize("name", SERVICES)
def test_it_does_well_on_each_service(name: str, profiled: bool) -> None:
    """At most 30 % behind the best fixed count that a sweep finds, and polite."""
    assert ratio(name, profiled) <= 1.30
    if name == "knee 16":
        assert max(run.in_flight for run in runs(name, profiled)) <= 2 * 16
    if name.startswith("429"):
        assert max(run.refused for run in runs(name, profiled)) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("profiled", [True, False], ids=["profiled", "latency not known"])
def test_it_does_well_on_the_whole(profiled: bool) -> None:
    """At most 10 % behind the best fixed count of each service, in the geometric mean."""
    assert mean_ratio([ratio(name, profiled) for name in SERVICES]) <= 1.10


@pytest.mark.slow
def test_a_long_run_is_politer_than_a_short_one() -> None:
    """Ten times the calls: next to no refusals, and quicker than any fixed count that is not refused."""
    service = Service(6000, most=40, rate=200)
    run = adaptive(service, 0)
    assert run.refused < 0.005
    assert run.seconds < fixed(service, 16, 0).seconds

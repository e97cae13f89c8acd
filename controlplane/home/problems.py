"""Says in sentences what is wrong in the control room, the worst first."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from django.utils.text import slugify

from controlplane.home.backlog import Backlog
from controlplane.home.refusals import Refusals
from controlplane.home.services import Service
from controlplane.home.workers import AgentRow, Worker
from controlplane.stops.models import Stop
from controlplane.stops.retention import retention_of

NAMED = 3  # of many that have the same trouble


class Problem(msgspec.Struct, frozen=True):
    """state: stop for what is broken, soft for what waits. word says it without colour.

    traces: those that it is about. place: where in the pages to look. about tells apart those of one word.
    """

    state: str
    word: str
    what: str
    meaning: str = ""
    traces: tuple[str, ...] = ()
    since: datetime | None = None
    place: str = ""
    about: str = ""
    target: str = ""  # in that place, where it has several

    @property
    def id(self) -> str:
        """The same for as long as the trouble lasts."""
        return slugify(f"{self.word} {self.about}")


def problems(
    services: Iterable[Service],
    workers: Iterable[Worker],
    agents: Iterable[AgentRow],
    backlog: Backlog,
    refusals: Refusals,
) -> list[Problem]:
    found = [
        *_of_services(services),
        *_of_agents(agents),
        *_of_workers(workers),
        *_of_backlog(backlog),
        *_of_refusals(refusals),
    ]
    return sorted(found, key=lambda problem: problem.state != "stop")


def problems_of_stops(stops: Iterable[Stop]) -> list[Problem]:
    """A stop is no fault, and the first that everybody must know."""
    found = [
        Problem(
            "stop" if stop.mode == Stop.Mode.HARD else "soft",
            f"{stop.mode} stop",
            f"{stop.requester} stopped {_scope(stop)}: “{stop.reason}”",
            _proof(stop),
            since=stop.requested_at,
            about=str(stop.pk),
        )
        for stop in stops
    ]
    return sorted(found, key=lambda problem: problem.state != "stop")


def _scope(stop: Stop) -> str:
    if stop.scope == Stop.Scope.EVERYTHING:
        return "everything"
    return f"the {stop.scope} {stop.value}"


def _proof(stop: Stop) -> str:
    is_soft = stop.mode == Stop.Mode.SOFT
    means = (
        "its agents start nothing new, and what waits stays in Kafka."
        if is_soft
        else "nothing of it reaches a user without a person's decision."
    )
    if stop.proven_at is None:
        return "Requested, and not proven yet."
    took_ms = (stop.proven_at - stop.requested_at).total_seconds() * 1000
    return f"Proven in {took_ms:,.0f} ms: {means}"


def problems_of_retention(stops: Iterable[Stop]) -> list[Problem]:
    """Stops whose agents have records before them that Kafka has kept for half of its time."""
    return [
        Problem(
            "stop",
            "kept too long",
            f"What waits behind the soft stop of {_scope(stop)} has used up half of the time that Kafka keeps it.",
            "Then Kafka deletes it, and those messages are lost. Release the stop, or have it kept for longer.",
            place="retention",
            about=f"retention {stop.pk}",
            target=str(stop.pk),
        )
        for stop in stops
        if (kept := retention_of(stop)) is not None and kept.is_past
    ]


def problems_of_people(overdue: int) -> list[Problem]:
    if not overdue:
        return []
    verb = "is" if overdue == 1 else "are"
    what = f"{_count(overdue, 'held answer')} {verb} past the deadline."
    meaning = "Users wait for a person, and nobody has decided."
    return [Problem("soft", "overdue", what, meaning, place="queue")]


def _of_services(services: Iterable[Service]) -> Iterator[Problem]:
    for service in services:
        if not service.is_up:
            yield Problem(
                "stop",
                "down",
                f"{service.title} does not answer.",
                service.without,
                since=service.since,
                place="services",
                about=service.name,
            )


def _of_agents(agents: Iterable[AgentRow]) -> Iterator[Problem]:
    missing = [agent.name for agent in agents if agent.state == "missing"]
    if missing:
        yield Problem(
            "stop",
            "missing",
            f"No worker hosts {_and(missing)}.",
            "Their records wait in Kafka until a worker does.",
            place="workers",
        )
    troubles: dict[tuple[str, str], list[str]] = {}
    for agent in agents:
        if agent.state in {"broken", "held"}:
            troubles.setdefault((agent.state, agent.why), []).append(agent.name)
    for (state, why), names in troubles.items():
        one = len(names) == 1
        if state == "broken":
            verb = "has ended:" if one else "have ended:"
        else:
            verb = "is held:" if one else "are held:"
        yield Problem(
            "stop" if state == "broken" else "soft",
            state,
            f"{_and(names)} {verb} {why}.",
            place="agents",
            about=why,
        )


def _of_workers(workers: Iterable[Worker]) -> Iterator[Problem]:
    listed = list(workers)
    silent = [worker for worker in listed if not worker.is_live]
    if silent:
        yield Problem(
            "soft",
            "silent",
            f"{_workers(silent)} {_verb(silent, 'is silent.', 'are silent.')}",
            "Other workers with the same agents take over, if there are any; what"
            f" {_verb(silent, 'it', 'they')} had begun is done again.",
            since=min(worker.seen_at for worker in silent),
            place="workers",
        )
    late = [worker for worker in listed if worker.is_live and worker.is_behind]
    if late:
        oldest = min(worker.version for worker in late)
        obeys = _verb(late, "still obeys version", "still obey versions from")
        yield Problem(
            "soft",
            "behind",
            f"{_workers(late)} {obeys} {oldest}{_verb(late, '.', ' on.')}",
            _verb(late, "It applies the newer one", "They apply the newest")
            + " within 3 s, or nothing more is started there.",
            place="workers",
        )


def _verb(workers: list[Worker], of_one: str, of_many: str) -> str:
    return of_one if len(workers) == 1 else of_many


def _of_backlog(backlog: Backlog) -> Iterator[Problem]:
    if backlog.error:
        yield Problem(
            "soft",
            "unknown",
            "How far agents are behind and how many records fail is unknown.",
            f"Kafka says: {backlog.error}.",
            place="services",
        )


def _of_refusals(refusals: Refusals) -> Iterator[Problem]:
    if refusals.answers:
        yield Problem(
            "stop",
            "refused",
            f"Kafka refused {_count(refusals.answers, 'decided answer')} for good:"
            f" {refusals.failure}.",
            "Their users still wait. docs/operations.md says how to have them published.",
            refusals.traces,
        )
    for topic, number in refusals.others.items():
        yield Problem(
            "stop",
            "refused",
            f"Kafka refused {_count(number, 'record')} of {topic} for good.",
            "What was decided here holds; readers of the topic lack it.",
            about=topic,
        )


def _workers(workers: list[Worker]) -> str:
    names = [worker.instance for worker in workers]
    return f"Worker {names[0]}" if len(names) == 1 else f"Workers {_and(names)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _and(names: list[str]) -> str:
    """Name them, or the first of many."""
    if len(names) == 1:
        return names[0]
    if len(names) > NAMED + 1:
        names = [*names[:NAMED], f"{len(names) - NAMED:,} more"]
    return f"{', '.join(names[:-1])} and {names[-1]}"

"""Engages, proves and releases emergency stops. Needs PostgreSQL, and nothing else."""

import time
from argparse import ArgumentParser
from typing import Any
from uuid import UUID, uuid4

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from controlplane.audit.actions import at_the_shell
from controlplane.effects.pages import met_by
from controlplane.stops import actions, targets
from controlplane.stops.listed import TITLES
from controlplane.stops.models import ListedTurn, Stop
from controlplane.stops.points import points
from controlplane.stops.ramp import MAX_PER_S, MIN_PER_S, RAMP_PER_S, Ramp, ramp_of

MOST_LISTED = 200  # of each fate; the stop's page has them all

AWAY = (
    "PostgreSQL does not answer, so the stop is not recorded. Nothing can be delivered meanwhile, and within "
    "3 s no agent starts anything; when PostgreSQL is back they go on, unless you stop them then."
)
KEEP_PROVING_S = 10.0  # by then a worker that hangs has fallen silent
DRILLS = 5


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for mode, meaning in (
            ("soft", "agents start nothing new; nothing is lost"),
            ("hard", "nothing reaches a user without a person's decision"),
        ):
            engaging = verbs.add_parser(mode, help=meaning)
            _add_scope(engaging)
            engaging.add_argument("--reason", required=True)
        verbs.add_parser("status", help="say what is in force, and who obeys")
        releasing = verbs.add_parser("release", help="let go; held answers stay held")
        releasing.add_argument("stop", metavar="ID", type=UUID)
        releasing.add_argument("--reason", required=True)
        releasing.add_argument(
            "--ramp",
            type=float,
            default=RAMP_PER_S,
            metavar="PER_S",
            help="of a soft stop: how many records a second each agent starts at most; 0: all at once, also if it is releasing already",
        )
        drilling = verbs.add_parser("drill", help="measure the time to proof")
        drilling.add_argument("--times", type=int, default=DRILLS)

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            self._act(verb, options)
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"{AWAY}\n({str(error).strip()})") from error

    def _act(self, verb: str, options: dict[str, Any]) -> None:
        if verb == "status":
            self._status()
        elif verb == "release":
            self._release(options["stop"], options["reason"], options["ramp"])
        elif verb == "drill":
            self._drill(options["times"])
        else:
            self._engage(verb, options["scope"], options["reason"])

    def _engage(self, mode: str, scope: str, reason: str) -> None:
        kind, value = _scope(mode, scope)
        if not reason.strip():
            raise CommandError("say why: --reason")
        began_s = time.perf_counter()
        stop, is_new = actions.engage_stop(
            mode=mode, scope=kind, value=value, reason=reason, requester=at_the_shell()
        )
        took_ms = (time.perf_counter() - began_s) * 1000
        said = f"requested in {took_ms:.1f} ms" if is_new else "was in force already"
        self.stdout.write(f"{stop}: {said}. It is {stop.pk}")
        self._prove(stop)

    def _prove(self, stop: Stop) -> None:
        deadline_s = time.monotonic() + KEEP_PROVING_S
        while True:
            try:
                actions.prove_stop(stop, prover=at_the_shell())
            except actions.NotProvenError as error:
                if time.monotonic() > deadline_s:
                    raise CommandError(str(error)) from error
                self.stderr.write(str(error))
            else:
                break
        for line in _told(stop):
            self.stdout.write(line)

    def _status(self) -> None:
        stops = list(Stop.objects.not_over().order_by("requested_at", "pk"))
        if not stops:
            self.stdout.write("no stop is in force")
        for stop in stops:
            since = f"{stop.requested_at:%Y-%m-%d %H:%M:%S} UTC"
            self.stdout.write(f"{stop.pk}  {stop}  since {since}")
            self.stdout.write(f"  {stop.requested_by}: {stop.reason}")
            for line in _told(stop):
                self.stdout.write(f"  {line}")

    def _release(self, stop: UUID, reason: str, ramp_per_s: float) -> None:
        row = Stop.objects.filter(pk=stop).first()
        if row is None:
            raise CommandError(f"there is no stop {stop}")
        if not reason.strip():
            raise CommandError("say why: --reason")
        if ramp_per_s and not MIN_PER_S <= ramp_per_s <= MAX_PER_S:
            raise CommandError(
                f"--ramp is {MIN_PER_S:g} to {MAX_PER_S:g} records a second, or 0"
            )
        is_done = actions.release_stop(
            row, reason=reason, releaser=at_the_shell(), ramp_per_s=ramp_per_s or None
        )
        if not is_done and not ramp_per_s:
            is_done = actions.finish_release(
                row, reason=reason, finisher=at_the_shell()
            )
        if not is_done:
            raise CommandError(f"{row} was released before")
        self.stdout.write(f"{row}: {_RELEASED[row.state]}")

    def _drill(self, times: int) -> None:
        """Stop a conversation that nobody has: everything but its effect is real."""
        took_ms = [self._drill_once() for _ in range(times)]
        for number, each in enumerate(took_ms, 1):
            self.stdout.write(f"drill {number}: proven in {each:.1f} ms")
        ordered = sorted(took_ms)
        median_ms = ordered[len(ordered) // 2]
        self.stdout.write(f"median {median_ms:.1f} ms, longest {ordered[-1]:.1f} ms")

    def _drill_once(self) -> float:
        stop = actions.request_stop(
            mode=Stop.Mode.HARD,
            scope=Stop.Scope.CONVERSATION,
            value=f"drill-{uuid4().hex}",
            reason="Drill",
            requester=at_the_shell(),
        )
        try:
            actions.prove_stop(stop, prover=at_the_shell())
        except actions.NotProvenError as error:
            raise CommandError(f"the drill failed: {error}") from error
        finally:
            actions.release_stop(stop, reason="Drill is over", releaser=at_the_shell())
        assert stop.proven_at is not None
        return (stop.proven_at - stop.requested_at).total_seconds() * 1000


def _add_scope(parser: ArgumentParser) -> None:
    known = "; ".join(
        f"{scope}: {', '.join(targets.names_of(scope))}"
        for scope in ("workflow", "agent", "tier")
    )
    parser.add_argument(
        "--scope",
        default="everything",
        metavar="SCOPE[:NAME]",
        help=f"everything, conversation:ID, or one of these. {known}",
    )


def _scope(mode: str, text: str) -> tuple[str, str]:
    """Return what to stop: a scope, and the name of one of its kind."""
    scope, _, value = text.partition(":")
    if scope not in Stop.Scope.values:
        known = ", ".join(Stop.Scope.values)
        raise CommandError(f"no scope {scope!r}; there are: {known}")
    wrong = targets.refusal(mode=mode, scope=scope, value=value)
    if wrong is not None:
        raise CommandError(f"the {wrong[0]} of --scope {wrong[1]}")
    return scope, value


def _told(stop: Stop) -> list[str]:
    """Return what is proven, and what is still open."""
    if stop.state == "releasing":
        return _ramped(ramp_of(stop))
    if stop.proven_at is None:
        lines = ["not proven yet"]
    else:
        took = stop.proven_at - stop.requested_at
        lines = [f"proven in {took.total_seconds() * 1000:.0f} ms"]
    if stop.mode == Stop.Mode.HARD:
        listed = [_listed(stop, fate) for fate in ListedTurn.Fate]
        return lines + listed + _mails(stop)
    return lines + [
        f"{each.instance}: {each.state}, {each.in_flight} in flight"
        for each in points(stop)
    ]


def _mails(stop: Stop) -> list[str]:
    met = met_by(stop.pk)
    held, unknown = met["held_mails"], met["unknown_mails"]
    lines = [f"{held} mails held for a person"] if held else []
    return lines + ([f"{unknown} mails that may have gone out"] if unknown else [])


def _ramped(ramp: Ramp) -> list[str]:
    lines = [f"releasing, at most {ramp.per_s:g} records a second for each agent"]
    lines += [f"{agent}: {started} started" for agent, started in ramp.started.items()]
    for what, names in (
        ("more waits with", ramp.held_back),
        ("no worker runs", ramp.nobody_runs),
        ("these workers still obey the stop:", ramp.behind),
    ):
        lines += [f"{what} {', '.join(names)}"] if names else []
    return lines


_RELEASED = {
    "released": "released. What it held still waits for people.",
    "releasing": "releasing. See how far it is: manage.py stop status",
}


def _listed(stop: Stop, fate: ListedTurn.Fate) -> str:
    listed = stop.listed.filter(fate=fate)
    count, title = listed.count(), TITLES[fate]
    traces = listed.order_by("pk").values_list("trace_id", flat=True)[:MOST_LISTED]
    lines = [f"\n    {trace}" for trace in traces]
    if count > len(lines):
        lines.append(f"\n    and {count - len(lines)} more, on its page")
    return f"{count} {title[0].lower()}{title[1:]}{''.join(lines)}"

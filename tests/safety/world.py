"""One world in which everything that can be written holds the given texts, and the pages that show them."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from agents.events import FinalResponse
from controlplane.accounts.models import ApiToken, Team
from controlplane.audit.models import Entry
from controlplane.backtests.actions import PAGE as SAMPLES
from controlplane.backtests.models import Backtest
from controlplane.chat.models import (
    Conversation,
    Correction,
    Feedback,
    Message,
    Outcome,
    Turn,
)
from controlplane.deadletters.models import Job, JobItem, Letter
from controlplane.effects.models import Effect, ListedEffect
from controlplane.evaluations.models import Evaluation
from controlplane.runtime.models import ControlVersion, Heartbeat, OutboxRecord
from controlplane.stops.models import Stop, StopRule
from controlplane.traces.models import TracePayload, TraceRecord
from guardrails.backtest import Comparison, Origin, PlaceTally, RuleTally, Sample
from guardrails.evaluation import Evaluation as Evaluated
from guardrails.evaluation import Figures
from guardrails.evaluation import Sample as Mistaken
from guardrails.models import Publication, Rule, RuleSet, RuleVersion
from guardrails.verdicts import Verdict
from moderation.models import Approval, Decision
from tests.factories import make_user
from tests.home.making import make_status

LINES = 60  # of a transcript
RULES_LISTED = 100  # of a page
PUBLICATIONS = 50  # of a page
RULES_TESTED = 100  # of a page
LETTERS = MAILS = 50  # of a page
PEOPLE = 50
RULES = 30  # one for so many texts
ASKED_FOR = 75  # breaks out of an attribute
TRACE = "5afe" * 8
TOPIC = "agents.dlq"


@dataclass(frozen=True)
class Shown:
    """A page, and which of the texts it must show, by their places in the list.

    is_more: another page of the same template shows the like.
    """

    path: str
    texts: range = range(0)
    is_more: bool = False


def make_viewer(texts: Sequence[str]) -> User:
    """Somebody who may see everything, and whose own name is one of the texts."""
    return make_user(
        texts[0][:150],
        first_name=texts[72][:150],
        is_superuser=True,
        is_staff=True,
    )


def make_world(texts: Sequence[str], viewer: User) -> list[Shown]:
    """Fill the database, and return every page that shows any of it."""
    ControlVersion.objects.get_or_create(pk=1)
    return [
        *_held(texts, viewer),
        *_trace(texts),
        *_dead_letters(texts, viewer),
        *_control_room(texts),
        *_stops(texts),
        *_mails(texts, viewer),
        *_people(texts, viewer),
        *_rules(texts, viewer),
        *_backtests(texts, viewer),
        *_evaluations(texts, viewer),
        *_asked_for(texts[ASKED_FOR]),
    ]


def _held(texts: Sequence[str], viewer: User) -> list[Shown]:
    """Conversations of 60 lines and as many held answers, with rules, reasons and teams."""
    pages = []
    Team.objects.create(slug="hostile", name=texts[0][:100])
    for start in range(0, len(texts), LINES):
        part = texts[start : start + LINES]
        turns = _conversation(part)
        approvals = Approval.objects.bulk_create(
            _approval(turn, text, part) for turn, text in zip(turns, part, strict=True)
        )
        shown = range(start, start + len(part))
        is_more = 0 < start < len(texts) - LINES
        address = reverse("moderation:item", args=[approvals[0].pk])
        pages.append(Shown(address, shown, is_more))
    _decide(approvals[0], texts, viewer)
    return [Shown(reverse("moderation:queue")), *pages]


def _conversation(texts: Sequence[str]) -> list[Turn]:
    talk = Conversation.objects.create(
        id=f"c_{uuid4().hex[:12]}",
        user="u_1",
        tier="free",
        latest_turn=len(texts),
        latest_seq=len(texts),
    )
    deadline_at = timezone.now() + timedelta(minutes=15)
    turns = Turn.objects.bulk_create(
        Turn(
            id=str(uuid4()),
            conversation=talk,
            number=number,
            text=text,
            trace_id=uuid4().hex,
            accepted_at=timezone.now(),
            deadline_at=deadline_at,
        )
        for number, text in enumerate(texts, start=1)
    )
    Outcome.objects.bulk_create(
        Outcome(turn=turn, state="held", record_id=str(uuid4()), reason=turn.text)
        for turn in turns
    )
    Message.objects.bulk_create(
        Message(
            conversation=talk, seq=turn.number, turn=turn, role="user", text=turn.text
        )
        for turn in turns
    )
    return turns


def _approval(turn: Turn, text: str, others: Sequence[str]) -> Approval:
    findings = [
        {
            "rule": other[:50],
            "name": other,
            "version": 1,
            "kind": "threshold",
            "action": "escalate",
            "severity": "high",
            "start": place,
            "end": place + 2,
            "said": other[:200],
            "number": 25.0,
            "limit": 5.0,
            "team": "hostile",
        }
        for place, other in enumerate(others[:10])
    ]
    return Approval(
        turn=turn,
        team="hostile",
        record_id=str(uuid4()),
        text=text,
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
        why=text,
        verdict={
            "action": "escalate",
            "team": "hostile",
            "ruleset_hash": others[0][:64],
            "findings": findings,
        },
        deadline_at=turn.deadline_at,
    )


def _decide(approval: Approval, texts: Sequence[str], by: User) -> None:
    Decision.objects.create(
        approval=approval,
        verdict="edit",
        text=texts[2],
        text_sha256=hashlib.sha256(texts[2].encode()).hexdigest(),
        reason=texts[3],
        decided_by=by,
    )
    approval.state = Approval.State.APPROVED
    approval.save(update_fields=["state"])


def _trace(texts: Sequence[str]) -> list[Shown]:
    """A trace with a record for each text, one of which has all of them as its headers."""
    at = timezone.now()
    turn = Turn.objects.latest("created_at")
    Turn.objects.filter(pk=turn.pk).update(trace_id=TRACE)
    rated = turn.messages.get()
    Feedback.objects.create(message=rated, rating="down", reason=texts[5][:500])
    value = "\x00".join(text for text in texts).encode()
    TraceRecord.objects.bulk_create(
        TraceRecord(
            topic=TOPIC,
            partition=3,
            offset=number,
            at=at + timedelta(milliseconds=number),
            trace_id=TRACE,
            event_id=str(uuid4()),
            parents=[],
            type=text[:64],
            agent=text[:64],
            conversation_id=turn.conversation_id,
            workflow="chat",
            tier=text[:50],
            subject=text[:64],
            text=text,
            key_sha256=b"k" * 32,
            headers_sha256=b"h" * 32,
            value_sha256=hashlib.sha256(value).digest(),
            size_bytes=len(value),
        )
        for number, text in enumerate(texts)
    )
    _payload(0, at, texts, value)
    trace = reverse("traces:trace", args=[TRACE])
    every = range(len(texts))
    return [
        Shown(trace, every),
        Shown(reverse("traces:payload", args=[TRACE, TOPIC, 3, 0]), every),
    ]


def _payload(offset: int, at: datetime, texts: Sequence[str], value: bytes) -> None:
    headers = [
        (text[:2_000], b64encode(f"\x00{text[:500]}\xff".encode()).decode())
        for text in texts
    ]
    TracePayload.objects.create(
        topic=TOPIC,
        partition=3,
        offset=offset,
        at=at,
        key=f"\x00{texts[0]}".encode(),
        value=value,
        headers=json.dumps(headers).encode(),
    )


def _dead_letters(texts: Sequence[str], viewer: User) -> list[Shown]:
    at = TraceRecord.objects.get(offset=0).at
    letters = Letter.objects.bulk_create(
        Letter(
            partition=3,
            offset=number,
            at=at,
            trace_id=TRACE,
            agent=text[:200],
            topic=text[:200],
            topic_partition=2,
            topic_offset=number,
            key=text[:500],
            reason=text,
            attempts=3,
            size_bytes=1,
        )
        for number, text in enumerate(texts)
    )
    sent = OutboxRecord.objects.create(
        topic=TOPIC, value=b"", headers=[], failed_at=at, failure=texts[7]
    )
    Letter.objects.filter(pk=letters[1].pk).update(
        state="discarded",
        decided_by=viewer,
        decided_at=at,
        decided_why=texts[6],
        sent=sent,
    )
    job = Job.objects.create(verb="discard", reason=texts[8], started_by=viewer)
    JobItem.objects.bulk_create(
        JobItem(job=job, letter=letter, result="refused", note=text)
        for letter, text in zip(letters, texts, strict=True)
    )
    return [
        *_pages_of_letters(letters),
        Shown(reverse("deadletters:letter", args=[letters[0].pk]), range(len(texts))),
        Shown(reverse("deadletters:letter", args=[letters[1].pk])),
        Shown(reverse("deadletters:job", args=[job.pk]), range(len(texts))),
    ]


def _pages_of_letters(letters: Sequence[Letter]) -> list[Shown]:
    address = reverse("deadletters:list")
    ends = range(len(letters), 0, -LETTERS)
    return [
        Shown(
            f"{address}?state=all&before={letters[end - 1].pk + 1}",
            range(max(0, end - LETTERS), end),
            is_more=end < len(letters),
        )
        for end in ends
    ]


def _control_room(texts: Sequence[str]) -> list[Shown]:
    now = timezone.now()
    Entry.objects.bulk_create(
        Entry(actor=text[:150], action=text[:64], subject=text[:200]) for text in texts
    )
    Heartbeat.objects.bulk_create(
        Heartbeat(
            instance=f"{text[:110]}:{number}",
            host=text[:120],
            pid=number,
            started_at=now,
            seen_at=now + timedelta(minutes=1),
            applied_version=0,
            applied_in_ms=1.0,
            agents=[make_status(text[:200], state="held", why=text[:2000])],
        )
        for number, text in enumerate(texts)
    )
    return [Shown(reverse("home:index"), range(len(texts)))]


def _stops(texts: Sequence[str]) -> list[Shown]:
    stops = Stop.objects.bulk_create(
        Stop(
            mode="soft",
            scope="agent",
            value=text[:200],
            reason=text,
            requested_by=text[:150],
        )
        for text in texts[:100]
    )
    rules = StopRule.objects.bulk_create(
        StopRule(
            name=f"rule-{number}",
            metric="lag_records",
            scope="agent",
            value=text[:200],
            threshold=1,
            window=1,
            is_on=True,
            about=text,
            unknown=text if number % 2 else "",
            measured_at=timezone.now() + timedelta(minutes=1),
        )
        for number, text in enumerate(texts[::RULES])
    )
    return [
        Shown(reverse("stops:index"), range(0, len(texts), RULES)),
        Shown(reverse("stops:stop", args=[stops[75].pk])),
        Shown(reverse("stops:rule", args=[rules[0].pk]), range(1)),
        *_report(texts),
    ]


def _report(texts: Sequence[str]) -> list[Shown]:
    """A stop of a conversation whose replies, rules, backends and agents are these, and a correction."""
    turns = _conversation(texts)
    talk = turns[0].conversation
    Outcome.objects.filter(turn__in=turns).delete()
    Outcome.objects.bulk_create(
        Outcome(turn=turn, state="delivered", source=turn.text[:100]) for turn in turns
    )
    Message.objects.bulk_create(
        Message(
            conversation=talk,
            seq=1_000 + turn.number,
            turn=turn,
            role="assistant",
            text=turn.text,
            kind="reply",
        )
        for turn in turns
    )
    TraceRecord.objects.bulk_create(_checked(turn) for turn in turns)
    stop = Stop.objects.create(
        mode="hard",
        scope="conversation",
        value=talk.pk,
        reason=texts[9],
        requested_by=texts[10][:150],
    )
    Entry.objects.bulk_create(
        Entry(
            actor="x", action="x", subject=f"stop:{stop.pk}", detail={text[:50]: text}
        )
        for text in texts
    )
    correction = _corrected(stop, turns[0], texts)
    page, every = reverse("incidents:report", args=[stop.pk]), range(len(texts))
    return [
        Shown(page, every),
        Shown(reverse("incidents:print", args=[stop.pk]), every),
        Shown(reverse("incidents:correct", args=[stop.pk])),
        Shown(reverse("incidents:correction", args=[stop.pk, correction.pk])),
    ]


def _checked(turn: Turn) -> TraceRecord:
    return TraceRecord(
        topic="agent.responses.final",
        partition=3,
        offset=turn.number,
        at=timezone.now(),
        trace_id=turn.trace_id,
        event_id=str(uuid4()),
        parents=[],
        type="x",
        agent="x",
        conversation_id=turn.conversation_id,
        workflow="chat",
        tier="free",
        subject="x",
        text=turn.text,
        rules=[turn.text],
        backend=turn.text,
        key_sha256=b"k" * 32,
        headers_sha256=b"h" * 32,
        value_sha256=b"v" * 32,
        size_bytes=1,
    )


def _corrected(stop: Stop, turn: Turn, texts: Sequence[str]) -> Correction:
    correction = Correction.objects.create(
        stop_id=stop.pk,
        text=texts[11],
        text_sha256="0" * 64,
        reason=texts[12],
        written_by=texts[13][:150],
        written_at=timezone.now(),
    )
    correction.copies.create(
        conversation=turn.conversation,
        turn=turn,
        seen_turn=1,
        asked_at=timezone.now(),
        state="refused",
        why=texts[14],
    )
    return correction


def _mails(texts: Sequence[str], viewer: User) -> list[Shown]:
    """Mails of all states in turn, each with a text in all that agents and servers write."""
    halted = Stop.objects.latest("requested_at")
    states = ["held", "unknown", "failed", "waiting", "sent", "dropped"]
    effects = Effect.objects.bulk_create(
        Effect(
            record_id=f"{number}{text[:100]}",
            workflow=text[:50],
            agent=text[:64],
            tier=text[:50],
            conversation_id=text[:200],
            trace_id=TRACE,
            recipient=text,
            subject=text,
            text=text,
            state=states[number % len(states)],
            sender=text[:120],
            error=text if number % 2 else "",
            stop=halted,
            decided_by=viewer,
            decided_at=timezone.now(),
            decided_why=text or "x",
        )
        for number, text in enumerate(texts)
    )
    ListedEffect.objects.bulk_create(
        ListedEffect(stop=halted, effect=effect) for effect in effects
    )
    address = reverse("effects:list")
    ends = range(len(effects), 0, -MAILS)
    return [
        *(
            Shown(
                f"{address}?state=all&before={effects[end - 1].pk + 1}",
                range(max(0, end - MAILS), end),
                is_more=end < len(effects),
            )
            for end in ends
        ),
        *(Shown(reverse("effects:effect", args=[each.pk])) for each in effects[:2]),
        Shown(reverse("stops:stop", args=[halted.pk])),
    ]


def _people(texts: Sequence[str], viewer: User) -> list[Shown]:
    """People, a team and tokens with these names, in the order of each list."""
    people = User.objects.bulk_create(
        User(
            username=f"{text[:140]}{number}",
            first_name=text[:150],
            last_name=text[:150],
            email=text[:200],
        )
        for number, text in enumerate(texts)
    )
    Team.objects.get(slug="hostile").members.set(people)
    ApiToken.objects.bulk_create(
        ApiToken(
            user=viewer,
            name=text[:100],
            sha256=hashlib.sha256(str(number).encode()).hexdigest(),
            scopes=["traces:read"],
            expires_at=timezone.now() + timedelta(days=1),
        )
        for number, text in enumerate(texts)
    )
    listed = User.objects.order_by("username").values_list("username", flat=True)
    ends = ["", *list(listed)[PEOPLE - 1 :: PEOPLE]]
    return [
        *(
            Shown(f"{reverse('accounts:people')}?after={quote(end)}", is_more=bool(end))
            for end in ends
        ),
        Shown(reverse("accounts:person", args=[people[0].pk])),
        Shown(reverse("accounts:person", args=[people[75].pk]), is_more=True),
        Shown(reverse("accounts:tokens")),
        Shown(reverse("account_me")),
        Shown(reverse("teams:list")),
        Shown(reverse("teams:team", args=["hostile"]), range(len(texts))),
    ]


_TERMS = {"direction": "output", "kind": "terms", "action": "tag"}


def _rules(texts: Sequence[str], viewer: User) -> list[Shown]:
    wide = Rule.objects.create(slug="wide", name="W" * 200, **_TERMS)
    rules = Rule.objects.bulk_create(
        Rule(
            slug=f"rule-{number}",
            name=text[:200],
            direction="output",
            kind="terms",
            action="escalate",
            terms=[text],
            reply=text,
            exceptions=[text],
        )
        for number, text in enumerate(texts)
    )
    RuleVersion.objects.create(
        slug=rules[3].slug,
        version=1,
        body={"id": "x", "name": texts[3]} | _TERMS,
        saved_by=viewer,
    )
    rule_set = RuleSet.objects.create(hash="0" * 64, body=b"[]")
    published = Publication.objects.bulk_create(
        Publication(rule_set=rule_set, published_by=viewer, reason=text)
        for text in texts
    )
    return [
        *_pages("rules:list", texts, RULES_LISTED),
        *_pages("rules:history", texts, PUBLICATIONS),
        Shown(reverse("rules:rule", args=[wide.slug])),
        Shown(reverse("rules:review"), range(len(texts))),
        Shown(reverse("rules:publication", args=[published[3].pk])),
    ]


def _backtests(texts: Sequence[str], viewer: User) -> list[Shown]:
    """What rules are called, why texts could not be checked, and texts that a backtest came upon."""
    now = timezone.now()
    origins = [
        Origin("agent.responses.final", 0, number, now) for number in range(len(texts))
    ]
    turn: dict[str, Any] = {"turn_id": "t", "conversation_id": "c", "tier": "free"}
    verdict = Verdict(action="allow")
    TracePayload.objects.bulk_create(
        TracePayload(
            topic=each.topic,
            partition=0,
            offset=each.offset,
            at=now,
            value=msgspec.json.encode(
                FinalResponse(text=text, verdict=verdict, **turn)
            ),
            headers=b"[]",
        )
        for each, text in zip(origins, texts, strict=True)
    )
    samples = [
        Sample(
            rule="x",
            name=text,
            change="new",
            live=text,
            draft="block",
            direction="output",
            tier=text,
            workflow=text,
            trace_id=TRACE,
            origin=origin,
            spans=[(0, 5)],
        )
        for origin, text in zip(origins[: 2 * SAMPLES], texts, strict=False)
    ]
    place = PlaceTally(direction="output", tier=texts[1], workflow=texts[2], texts=1)
    found = Comparison(
        texts=1,
        since=now,
        until=now,
        rules={f"r{n:03}": RuleTally(name=text) for n, text in enumerate(texts)},
        places={"x": place},
        errors={texts[3]: 1},
        draft_unchecked=1,
        samples=samples,
    )
    job = Backtest.objects.create(
        state="failed",
        reason=texts[4],
        finished_at=now,
        started_by=viewer,
        size=1,
        total=1,
        draft_hash="0" * 64,
        draft_body=b"",
        cursor=[],
        result=msgspec.to_builtins(found),
    )
    samples_page = reverse("rules:backtest-samples", args=[job.pk])
    return [
        Shown(reverse("rules:backtests")),
        Shown(
            reverse("rules:backtest", args=[job.pk]),
            range(min(RULES_TESTED, len(texts))),
        ),
        *(
            Shown(f"{samples_page}?page={page}", is_more=page > 0)
            for page in range(-(-len(samples) // SAMPLES))
        ),
    ]


def _evaluations(texts: Sequence[str], viewer: User) -> list[Shown]:
    """Texts that were mistaken, what rules said of them, and why others were not checked."""
    wrong = [
        Mistaken(text, number, text, said=text, spans=((0, 5),))
        for number, text in enumerate(texts)
    ]
    found = Evaluated(
        rows=1,
        whole=Figures(false_positive_samples=wrong),
        rules={text: Figures() for text in texts},
        unchecked=1,
        unchecked_reasons={texts[3]: 1},
    )
    job = Evaluation.objects.create(
        state="failed",
        reason=texts[4],
        finished_at=timezone.now(),
        started_by=viewer,
        total=1,
        file=texts[2].replace("\0", "")[:200],
        rules="draft",
        ruleset_hash="0" * 64,
        rules_body=b'{"rules":[]}',
        result=msgspec.json.encode(found),
    )
    return [
        Shown(reverse("rules:evaluations")),
        Shown(reverse("rules:evaluation", args=[job.pk]), range(len(texts))),
    ]


def _pages(name: str, texts: Sequence[str], rows: int) -> list[Shown]:
    """The lists' order is their own; together their pages show everything."""
    last = -(-len(texts) // rows)
    return [
        Shown(f"{reverse(name)}?page={page}", is_more=page > 1)
        for page in range(1, last + 1)
    ]


def _report_of_any() -> str:
    return reverse("incidents:report", args=[Stop.objects.latest("requested_at").pk])


def _asked_for(text: str) -> list[Shown]:
    """Pages that show what stands in their own address."""
    given = quote(text[:300], safe="")
    filtered = quote(text[:100], safe="")  # as much as each of these filters takes
    return [
        Shown(f"{reverse('moderation:queue')}?team={given}"),
        Shown(
            f"{reverse('deadletters:list')}?agent={filtered}&reason={filtered}&state=all"
        ),
        Shown(f"{reverse('effects:list')}?agent={filtered}&words={filtered}&state=all"),
        Shown(f"/traces/{given}/"),
        Shown(f"/{given}"),
        Shown(f"/api/{given}"),
        Shown(f"{reverse('accounts:people')}?words={filtered}"),
        Shown(f"{reverse('accounts:tokens')}?words={filtered}"),
        Shown(f"{reverse('stops:index')}?target={given}&words={given}"),
        Shown(f"{reverse('rules:list')}?words={given}&mode={given}"),
        Shown(f"{_report_of_any()}?phrase={filtered}&rule={filtered}&agent={filtered}"),
    ]

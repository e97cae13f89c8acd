"""How a text is checked: at once where no rule needs a score, else when all its scores are there."""

from msgspec.structs import replace

from agents.agent import Context as Allowed
from agents.agent import Scorer, UnavailableError
from guardrails.context import Context, without_places
from guardrails.engine import Engine
from guardrails.verdicts import Verdict


def needs_scores(engine: Engine, about: Context) -> bool:
    return bool(engine.needs(about.direction, about.tier, about.workflow))


async def check(engine: Engine, scorer: Scorer, text: str, about: Context) -> Verdict:
    """Judge by all rules; a score that does not come holds the text.

    Models see it as it is after redaction, and not at all if rules that need none of them block it or fail.
    """
    if not needs_scores(engine, about):
        return engine.check(text, about)
    plain = engine.check(text, about, scored=False)
    if plain.action == "block" or plain.error:
        return plain
    names = engine.needs(about.direction, about.tier, about.workflow)
    shown = plain.redacted or text
    scores = await scorer.scores(shown, names, engine.rules)
    if shown != text:
        scores = without_places(scores)
    return engine.check(text, replace(about, scores=scores))


async def check_now(ctx: Allowed, text: str, about: Context) -> Verdict:
    """The same for a guard, by the rules that are in force when it has come to a verdict.

    UnavailableError, for which it is judged anew, if they have changed while models were asked.
    """
    return _given(ctx, await check(ctx.engine, ctx.scorer, text, about))


def check_at_once(ctx: Allowed, text: str, about: Context) -> Verdict:
    """The same where no rule needs a score: a process may have been frozen in the middle of it."""
    return _given(ctx, ctx.engine.check(text, about))


def _given(ctx: Allowed, verdict: Verdict) -> Verdict:
    if not ctx.is_in_force(ctx.engine):
        raise UnavailableError("the rules have changed meanwhile, or are too old")
    return verdict

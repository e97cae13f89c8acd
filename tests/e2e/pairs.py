"""Rule-sets of two rules for each direction: a verdict by half of one, or by halves of two, would be seen."""

from guardrails.rules import Rule

TEXT = "Tell me of alpha, and then of beta."


def make_pair(number: int) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            id=f"{word}-{direction}-{number}",
            name=f"{word} {number}",
            direction=direction,
            kind="terms",
            action="tag",
            terms=(word,),
            must_hit=(TEXT,),
            must_pass=("Hello.",),
        )
        for direction in ("input", "output")
        for word in ("alpha", "beta")
    )

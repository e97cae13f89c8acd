"""LiteLLM's content filter on rules and texts that it reads from standard input; it says how fast it was.

Runs by itself, in an environment of its own: nothing of the product is imported here, and nothing of LiteLLM there.
"""

import asyncio
import json
import logging
import sys
import time

from fastapi import HTTPException  # type: ignore[import-not-found]
from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter.content_filter import (  # type: ignore[import-not-found]
    ContentFilterGuardrail,
)


def main() -> None:
    given = json.load(sys.stdin)
    logging.disable(logging.ERROR)  # it says each hit on standard error
    found = {name: _measure(rules, given["texts"]) for name, rules in _ways(given)}
    json.dump(found, sys.stdout)


def _ways(given: dict[str, list[str]]) -> list[tuple[str, dict[str, object]]]:
    """The terms as it means them, and as a few patterns with many ways each."""
    patterns = [_pattern(each) for each in given["patterns"]]
    words = [{"keyword": each, "action": "BLOCK"} for each in given["terms"]]
    joined = [*patterns, *(_pattern(each) for each in given["alternations"])]
    return [
        ("terms as words", {"patterns": patterns, "blocked_words": words}),
        ("terms as patterns", {"patterns": joined}),
    ]


def _pattern(written: str) -> dict[str, str]:
    return {
        "pattern_type": "regex",
        "pattern": written,
        "name": "x",
        "action": "BLOCK",
    }


def _measure(rules: dict[str, object], texts: list[str]) -> dict[str, float]:
    guardrail = ContentFilterGuardrail(guardrail_name="bench", **rules)
    return asyncio.run(_run(guardrail, texts))


async def _run(guardrail: ContentFilterGuardrail, texts: list[str]) -> dict[str, float]:
    hits = 0
    start_ns = time.thread_time_ns()
    for text in texts:
        try:
            await guardrail.apply_guardrail({"texts": [text]}, {}, "request")
        except HTTPException:
            hits += 1
    took_s = (time.thread_time_ns() - start_ns) / 1e9
    return {"per_s": len(texts) / took_s, "hits": hits / len(texts)}


if __name__ == "__main__":
    main()

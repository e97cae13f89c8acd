"""The content filter of LiteLLM beside the engine: the same rules and texts, in an environment of its own."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

VERSION = "1.110.2"
HOME = Path(".run/litellm")
PYTHON = HOME / "bin" / "python"
INSTALL = f"python -m venv {HOME} && {PYTHON} -m pip install litellm=={VERSION} fastapi"
SCRIPT = Path(__file__).with_name("litellm_filter.py")
TEXTS = 100  # it is slow
LIMIT_S = 300.0


def rows(
    patterns: Sequence[str],
    terms: Sequence[str],
    alternations: Sequence[str],
    *,
    texts: Sequence[str],
    length: int,
    ours_per_s: float,
) -> Iterator[tuple[str, str, str]]:
    name = f"guard: texts of {length:,} by LiteLLM {VERSION}"
    if not PYTHON.exists():
        yield name, "not measured", f"not installed; `{INSTALL}` does that"
        return
    rules = {"patterns": patterns, "terms": terms, "alternations": alternations}
    for way, found in _measure(rules, texts).items():
        yield (
            f"{name}, {way}",
            f"{found['per_s']:,.1f} texts/s",
            f"the engine {ours_per_s / found['per_s']:,.0f} times as fast; {found['hits'] * 100:.0f} % hit",
        )


def _measure(
    rules: dict[str, Sequence[str]], texts: Sequence[str]
) -> dict[str, dict[str, float]]:
    """With an environment that has nothing of ours in it, and asks nobody for prices of models."""
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(HOME.resolve()),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    ran = subprocess.run(
        [PYTHON.absolute(), SCRIPT],
        input=json.dumps(rules | {"texts": texts[:TEXTS]}),
        capture_output=True,
        text=True,
        env=env,
        timeout=LIMIT_S,
        check=True,
    )
    found: dict[str, dict[str, float]] = json.loads(ran.stdout)
    return found

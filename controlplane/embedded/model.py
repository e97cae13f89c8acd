"""The demo model server, started as a process beside the others."""

import sys
import urllib.request
from pathlib import Path

from controlplane.embedded.ports import HOST
from controlplane.embedded.processes import Child

# What is asked of it, unless that has an address elsewhere.
ASKED = ("OPENAI_BASE_URL", "INTERLOCK_EMBEDDINGS_URL", "INTERLOCK_MODERATION_URL")
ROOT = Path(__file__).parents[2]


def prepare(data_dir: Path, port: int) -> Child:
    module = "controlplane.embedded.model_server"
    arguments = ["--port", str(port), "--data-dir", str(data_dir / "model")]
    (data_dir / "model").mkdir(exist_ok=True)
    return Child(
        name="model",
        command=[sys.executable, "-m", module, *arguments],
        data_dir=data_dir,
        cwd=ROOT,
        ready=lambda: answers(f"http://{HOST}:{port}/healthz"),
    )


def url(port: int) -> str:
    return f"http://{HOST}:{port}/v1"


def answers(address: str) -> bool:
    """Whether the page answers 200; a refusal or no answer at all is a no."""
    try:
        with urllib.request.urlopen(address, timeout=2) as response:  # noqa: S310
            return bool(response.status == 200)  # noqa: PLR2004
    except OSError:
        return False

"""Where the wheels that bring server programs have put them."""

from importlib.util import find_spec
from pathlib import Path

from controlplane.embedded.processes import ServiceError


def program(package: str, path: str, *, variable: str) -> Path:
    """Find a program without importing its package, whose import would do work of its own."""
    spec = find_spec(package)
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / path
        if found.exists():
            return found
    raise ServiceError(
        f"The package {package} brings no {Path(path).name} for this platform: "
        f"set {variable} to the address of a server of your own."
    )

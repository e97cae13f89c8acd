"""How the pages say a length of time."""

from datetime import timedelta


def spoken(duration: timedelta) -> str:
    """Say a duration with its two largest units: 1 m 19 s."""
    seconds = max(0, int(duration.total_seconds()))
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        amount, seconds = divmod(seconds, size)
        if amount or (name == "s" and not parts):
            parts.append(f"{amount} {name}")
    return " ".join(parts[:2])

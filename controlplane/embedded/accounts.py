"""The unprivileged account that PostgreSQL needs when we are root, and what it can reach."""

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

from controlplane.embedded.processes import ServiceError

SHARED = Path("/var/tmp")  # noqa: S108  kept over a reboot, and every account can reach it


def unprivileged() -> int | None:
    """The uid to run as, or None when we are not root and can run it ourselves."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def can_reach(path: Path, account: int | None) -> bool:
    if account is None:
        return True
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


def private_folder(data_dir: Path, name: str, account: int | None) -> Path:
    """A folder for this account alone: in the data directory if it can get there, else a link to one."""
    folder = data_dir / name
    if account is None:
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    if not can_reach(data_dir.resolve() / name, account):
        folder = _linked_folder(folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    _claim(folder, account)
    return folder


def readable_copy(folder: Path, account: int | None) -> Path:
    """The folder itself, or a copy of it that this account can read."""
    if can_reach(folder.resolve() / "bin", account):
        return folder
    state = f"{folder} {folder.stat().st_mtime_ns}"
    key = hashlib.sha256(state.encode()).hexdigest()[:12]
    copy = SHARED / f"interlock-{folder.name}-{key}"
    if not copy.exists():
        half = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(folder, half)
        for path in (half, *half.rglob("*")):
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        half.rename(copy)
    _check_owner(copy, os.geteuid())
    return copy


def linked_target(link: Path) -> Path:
    """Where the account's folder is when it cannot reach the data directory."""
    key = hashlib.sha256(str(link.parent.resolve()).encode()).hexdigest()[:12]
    return SHARED / f"interlock-{link.name}-{key}"


def _linked_folder(link: Path) -> Path:
    target = linked_target(link)
    link.unlink(
        missing_ok=True
    )  # in a copied data directory it leads to the other's data
    link.symlink_to(target)
    return target


def _claim(folder: Path, account: int) -> None:
    """Make it the account's own; refuse one that somebody else has put there."""
    if folder.lstat().st_uid == os.geteuid():
        os.chown(folder, account, account, follow_symlinks=False)
    _check_owner(folder, account)
    folder.chmod(0o700)


def _check_owner(folder: Path, account: int) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account:
        raise ServiceError(
            f"{folder} belongs to somebody else: remove it, and start again."
        )

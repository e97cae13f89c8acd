"""manage.py seed_demo: people, tiers and rules to try the product with."""

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.chat import ingress
from controlplane.home import conversations, demo


class Command(BaseCommand):
    help = "Create demo users, tiers and rules. Running it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--password-file", type=Path)
        parser.add_argument(
            "--no-talk", dest="talk", action="store_false", help="no conversations"
        )

    def handle(
        self, *args: Any, password_file: Path | None, talk: bool, **options: Any
    ) -> None:
        if not settings.DEMO:
            raise CommandError("The demo is switched off: set INTERLOCK_DEMO=true.")
        path = password_file or settings.BASE_DIR / ".run" / "demo-password"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(9))
        password = path.read_text().strip()
        demo.seed(password)
        if talk:
            self._talk()
        people = ", ".join(f"{name} ({role})" for name, role in demo.PEOPLE.items())
        self.stdout.write(f"sign in as {people}")
        self.stdout.write(f"with the password {password}")

    def _talk(self) -> None:
        try:
            conversations.start_conversations()
        except ingress.UnconfirmedError as error:
            self.stderr.write(
                f"no demo conversations: Kafka has not answered ({error})"
            )

"""A mailer in a process of its own: python -m tests.effects.sender CONNINFO HOST PORT."""

import asyncio
import sys

from agents.postgres import Database
from controlplane.effects import mailer
from controlplane.environment import MailServer


async def main(conninfo: str, host: str, port: str) -> None:
    mailer.POLL_S = 0.05
    database = Database(conninfo)
    await database.open()
    server = MailServer(host, int(port), "", "", "none", "mail@interlock.example")
    await mailer.Mailer(database, server).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

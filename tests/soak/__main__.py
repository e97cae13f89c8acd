"""make soak: chat load under faults; every accepted turn must end in one outcome, told to its user.

From the environment: SECONDS (60), SEED (of the time; printed), TURNS_PER_S (20), FAULT_EVERY_S
(5), KAFKA_NODES (1 or 3), USERS (40), LATE_S (3).
"""

import os
import sys
from pathlib import Path

import django

from tests.soak.soak import Options, Soak
from tests.soak.stage import on_stage


def main() -> None:
    options = Options.from_environment()
    say(f"seed {options.seed}: {options}")
    os.environ["DJANGO_SETTINGS_MODULE"] = "controlplane.settings"
    django.setup()
    data_dir = Path(".run/soak").resolve()
    with on_stage(data_dir, kafka_nodes=options.kafka_nodes, say=say) as stage:
        soak = Soak(stage, options, say)
        for planned in soak.planned:
            say(f"  {planned}")
        differences = soak.run()
    for difference in differences:
        say(str(difference))
    say(f"seed {options.seed}: {len(differences)} differences")
    sys.exit(1 if differences else 0)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The ``chainwarden`` command.

Every command imports what it needs when it runs, so that ``--help`` is instant. Exit codes: 0 all
is well, 1 a defect of chainwarden itself, 2 a wrong command line, 3 settings, 4 source or chain,
5 bus, 6 ledger or lake, 7 detector, 8 labels, 9 delivery, 10 a check of doctor failed,
130 interrupted.
"""

from __future__ import annotations

import sys

from chainwarden.command_line import app
from chainwarden.errors import ChainwardenError
from chainwarden.garbage import collect_seldom
from chainwarden.logs import log_to

__all__ = ["app", "main"]


def main() -> None:
    """The entry point: errors become one line and an exit code."""
    log_to()
    collect_seldom()
    try:
        app()
    except ChainwardenError as error:
        from chainwarden.terminal import print_error

        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()

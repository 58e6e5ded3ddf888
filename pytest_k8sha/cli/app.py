"""The command group: commands found by name when they are asked for, errors as one message, exit codes.

0 passed; 1 a check failed or could not be judged; 2 what was asked for cannot be meant; 3 this machine or cluster
cannot do it; 130 interrupted.
"""

from __future__ import annotations

import importlib
import json
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from pytest_k8sha import __version__
from pytest_k8sha.errors import K8shaError

INTERRUPTED = 130

COMMANDS = {
    "run": ("run", "Run the suites and write the report."),
    "up": ("kept", "Make clusters that stay, for quick turns."),
    "status": ("kept", "Show the clusters that stay."),
    "down": ("kept", "End clusters that stay."),
    "doctor": ("doctor", "Say what can run here, what cannot, and the remedy."),
    "catalog": ("catalog", "List every check."),
    "tenants": ("tenants", "Tell what tenants use and cost."),
    "report": ("report", "Make the report from records."),
    "fleet": ("fleet", "Look at many clusters together."),
    "recover": ("recover", "Remove what killed runs left."),
    "chaos": ("chaos", "Judge experiment files without a cluster, and run them on one."),
    "backup": ("manifests", "Make backups of manifests."),
    "restore": ("manifests", "Restore backups of manifests into clusters of ours."),
    "schema": ("schema", "Print the JSON Schema of a file."),
}
"""Command → its module in this package and its line in the help. The module holds a click command of that name."""

DEBUG, JSON = "k8sha.debug", "k8sha.json"
"""Keys in ``Context.meta``: whether a traceback is wanted, and whether stdout is for a program."""


class App(click.Group):
    """Looks its commands up in `COMMANDS`, so that ``k8sha --help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"pytest_k8sha.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no command {args[0]!r}{hint} There are: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; an error becomes one message and its exit code, a traceback only with ``--debug``."""
        try:
            return super().invoke(ctx)
        except K8shaError as error:
            _fail(ctx, error, str(error), error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - the last stop before the user
            said = f"this is a mistake of k8sha itself: {type(error).__name__}: {error} (more with --debug)"
            _fail(ctx, error, said, K8shaError.exit_code)

    def run(self) -> NoReturn:
        """Runs the command line of this process and ends it."""
        try:
            code = self.main(prog_name="k8sha", standalone_mode=False)
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("k8sha: interrupted", err=True)
            code = INTERRUPTED
        except BrokenPipeError:  # the reader, such as `head`, has had enough
            sys.stderr.close()
            code = 0
        sys.exit(code if isinstance(code, int) else 0)


def _fail(ctx: click.Context, error: Exception, said: str, code: int) -> NoReturn:
    if ctx.meta.get(DEBUG):
        import traceback

        traceback.print_exception(error)
    else:
        click.echo(f"k8sha: {said}", err=True)
    if ctx.meta.get(JSON):
        click.echo(json.dumps({"error": {"kind": type(error).__name__, "message": said, "exit_code": code}}))
    ctx.exit(code)


@click.group(cls=App, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="%(prog)s %(version)s")
def app() -> None:
    """Prove on real Kubernetes clusters that tenants stay apart and the service stays up.

    `k8sha run` alone makes two clusters on this machine, judges them and writes a report.
    """

"""The command ``k8sha``. Importing this package is cheap; each command imports what it needs when it runs."""

from __future__ import annotations


def main() -> None:
    """The entry point of the command. Ends the process with the exit code of `pytest_k8sha.cli.app`."""
    from pytest_k8sha.cli.app import app

    app.run()

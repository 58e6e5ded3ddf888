"""``k8sha recover``: removes what killed runs left."""

from __future__ import annotations

import click

from pytest_k8sha.cli import options


@click.command("recover")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@options.as_json
@options.debug
def recover(*, dry_run: bool, as_json: bool) -> None:
    """Remove what runs left that were killed: clusters, processes, objects on clusters, folders.

    Runs that still go on are not touched. The exit code is 3 when something could not be removed.
    """
    from pytest_k8sha.chaos.ways import WAYS
    from pytest_k8sha.cli import console
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.recover import recover as clean_up
    from pytest_k8sha.settings import Settings

    with console.working("looking for runs that were killed") as progress:
        runs = clean_up(Settings.from_environment(), Registry(), progress, dry_run=dry_run, ways=WAYS)
    remains = sum(len(run.remains) for run in runs)
    if as_json:
        console.dump({"runs": [run.as_dict() for run in runs], "dry_run": dry_run, "remains": remains})
    else:
        verb = "would be removed" if dry_run else "removed"
        for run in runs:
            if run.running:
                console.say(f"{run.run}: still running, not touched")
                continue
            console.say(f"{run.run}: {len(run.removed)} {verb}, {len(run.remains)} remain")
            for text in run.removed:
                console.say(f"  {verb}: {text}")
            for text in run.remains:
                console.say(f"  remains: {text}")
        if not runs:
            console.say("no run left anything")
    if remains:
        click.get_current_context().exit(3)

"""Commands on a store itself."""

from __future__ import annotations

from typing import Annotated

import typer

from physlm.cli import console
from physlm.cli.arguments import DEFAULT_STORE, Json, StoreOption
from physlm.errors import StoreError
from physlm.steps import Event
from physlm.store import open_store, repair


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        name="store", help="Look after a store.\n\nExample: physlm store repair --store ./results", no_args_is_help=True
    )
    group.callback()(lambda: None)  # a group, though it has one command alone
    group.command("repair", epilog="Example: physlm store repair --store ./results --remove")(repair_)
    app.add_typer(group)


def repair_(
    store: StoreOption = DEFAULT_STORE,
    prefix: Annotated[str, typer.Option(help="Only objects whose keys begin so, such as runs/3f.")] = "",
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what the next `physlm run` makes anew; else it is only told.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read every object and tell those that are damaged; ends with code 1 while any is.

    With --remove, what is a function of an experiment is taken away, so that the next run makes it anew. Evidence about
    laws and preregistrations can't be made again and stay.
    """
    opened = open_store(store)
    with console.progress(quiet=as_json) as on_event:
        found = list(repair.damaged(opened, prefix, lambda done: on_event(Event("check", done, 0, "objects"))))
    removed = {damage.key: repair.remove(opened, damage) for damage in found if remove and damage.removable}
    if as_json:
        console.print_json([{**vars(damage), "removed": removed.get(damage.key, [])} for damage in found])
    else:
        for damage in found:
            console.output.print(f"{damage.key}: {damage.reason}")
            if damage.key in removed:
                console.output.print(f"  removed, with what makes it count: {', '.join(removed[damage.key])}")
            elif not damage.removable:
                console.output.print("  can't be made again: bring it back from a copy of the store")
    if left := len(found) - len(removed):
        hint = "" if remove else "; what can be made again goes with --remove, and physlm run then makes it"
        raise StoreError(f"{left} objects of {store} are damaged{hint}")
    if not as_json:
        console.output.print("the next physlm run makes anew what was removed" if removed else "no object is damaged")

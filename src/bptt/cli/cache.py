"""`bptt cache`: the compiled code that is kept on disk."""

from typing import Annotated

import typer

from bptt.cli.output import say


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all of it; it is made anew.")
    ] = False,
) -> None:
    """Show where compiled cells are kept, how many and how large; or remove them."""
    # Imported here: it loads LLVM, which the start of no other command needs.
    from bptt.execute.codegen.disk import (  # noqa: PLC0415
        MOST_BYTES,
        VARIABLE,
        find_store,
    )

    store = find_store()
    if store is None:
        say(f"off: {VARIABLE} says so; nothing is read or kept")
        return
    if clear:
        say(f"{store.folder}: {store.tidy(0)} files removed")
        return
    sizes = [size for _, size, _ in store.files()]
    say(
        f"{store.folder}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB "
        f"(at most {MOST_BYTES / 1e6:.0f} MB; {VARIABLE}=FOLDER puts it elsewhere, "
        f"{VARIABLE}=off turns it off)"
    )

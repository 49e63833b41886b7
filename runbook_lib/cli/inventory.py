"""``runbook inventory``: a cluster of your own, imported, trusted and checked."""

from __future__ import annotations

import typer

from runbook_lib.cli.inventory_check import check
from runbook_lib.cli.inventory_import import import_docker_context, import_docker_machine, import_ssh_config
from runbook_lib.cli.inventory_trust import trust

app = typer.Typer(
    help="A cluster of your own: import it, trust its host keys, check that everything can be reached.",
    no_args_is_help=True,
    add_completion=False,
)

app.command("import-docker-machine")(import_docker_machine)
app.command("import-ssh-config")(import_ssh_config)
app.command("import-docker-context")(import_docker_context)
app.command()(trust)
app.command()(check)

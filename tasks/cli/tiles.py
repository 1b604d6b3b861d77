"""`stagegate tiles`: refine opt_v1 tiles to opt_v2; train, judge and check the models that do it.

Without a sub-command the options are those of `refine`.
"""

import typer

from tasks.cli.spellings import FirstCommandByDefault, TwoSpellings
from tasks.cli.tiles_cut import cut
from tasks.cli.tiles_evaluate import evaluate
from tasks.cli.tiles_refine import refine
from tasks.cli.tiles_tools import import_backbone, make_sample, verify
from tasks.cli.tiles_train import train

app = typer.Typer(cls=FirstCommandByDefault, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
COMMANDS = {
    "refine": refine,  # the first one is meant where none is named
    "train": train,
    "evaluate": evaluate,
    "verify": verify,
    "import-backbone": import_backbone,
    "make-sample": make_sample,
    "cut": cut,
}
for name, command in COMMANDS.items():
    app.command(name, cls=TwoSpellings)(command)

"""`python -m vsrcli.lab COMMAND`: degrade data; train, export and import models."""

import argparse
import sys
from importlib import import_module

from vsrcli.errors import VsrError

COMMANDS = {
    "train": ("train", "train one model at one scale from a recipe"),
    "export": ("export", "write a checkpoint into the weights folder"),
    "mean": ("mean", "write the mean of two checkpoints' weights"),
    "bf16": ("bf16", "note on a card what bf16 costs a single-frame model"),
    "degrade": ("degrade", "make a pack of degraded sequences to train on"),
    "import": ("import_", "rebuild a published checkpoint as a model folder"),
    "ablate": ("ablate", "train RLSP with its ways through time opened one by one"),
    "quantise": ("quantise", "add an int8 graph to a model, where it costs little"),
    "cuts": ("cuts", "measure the cut detector on joined clips"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vsrcli.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module_name, text) in COMMANDS.items():
        module = import_module(f"vsrcli.lab.commands.{module_name}")
        sub = commands.add_parser(name, help=text, description=module.__doc__)
        module.add(sub)
        sub.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except VsrError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`vsr-lab COMMAND`: degrade data; train, export and import models."""

import argparse
import os
import sys
from importlib import import_module

from vsrcli.errors import ReaderGoneError, VsrError
from vsrcli.extras import lab_needed

COMMANDS = {
    "train": ("train", "train one model at one scale from a recipe"),
    "export": ("export", "write a checkpoint into the weights folder"),
    "measure": ("measure", "put a video model's figures on clips on its card"),
    "mean": ("mean", "write the mean of two checkpoints' weights"),
    "bf16": ("bf16", "note on a card what bf16 costs a single-frame model"),
    "degrade": ("degrade", "make a pack of degraded sequences to train on"),
    "import": ("import_", "rebuild a published checkpoint as a model folder"),
    "ablate": ("ablate", "train RLSP with its ways through time opened one by one"),
    "quantise": ("quantise", "add an int8 graph to a model, where it costs little"),
    "niqe": ("niqe", "fit NIQE on sharp stills"),
    "cuts": ("cuts", "measure the cut detector on joined clips"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    parser = argparse.ArgumentParser(prog="vsr-lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module_name, text) in COMMANDS.items():
        module = import_module(f"vsrcli.lab.commands.{module_name}")
        sub = commands.add_parser(name, help=text, description=module.__doc__)
        module.add(sub)
        sub.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        with lab_needed(f"vsr-lab {args.command}"):
            args.run(args)
        sys.stdout.flush()
    except VsrError as exc:
        return _say(str(exc), exc.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return ReaderGoneError.exit_code
    except OSError as exc:
        return _say(f"{exc.filename or 'a file'} cannot be read or written ({exc.strerror})", 4)
    except KeyboardInterrupt:
        return _say("interrupted; what a training had saved is there", 130)
    return 0


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"vsr: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())

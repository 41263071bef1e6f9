"""The lab's commands, one file each: `add(parser)` and `run(args)`."""

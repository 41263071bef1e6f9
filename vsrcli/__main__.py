"""`python -m vsrcli`, the same as `vsr`."""

from vsrcli.cli import main

main()

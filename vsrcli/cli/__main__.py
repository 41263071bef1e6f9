"""`python -m vsrcli.cli`."""

from vsrcli.cli import main

main()

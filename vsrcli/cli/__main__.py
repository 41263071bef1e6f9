"""`python -m vsrcli.cli`."""

from vsrcli.cli.main import main

main()

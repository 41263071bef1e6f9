#!/bin/sh
# Upscales the videos named, two at a time, and shows all of them in one table.
#
#     examples/xargs.sh *.mp4
#     VSR_MODEL=esr-max VSR_SCALE=2 examples/xargs.sh holiday/*.mov
#
# Every event is one line written at once, so the runs can share a pipe. Ends with 0 if all went
# well, else with 1.

printf '%s\0' "$@" |
    xargs -0 -n 1 -P 2 vsr upscale --progress json -i |
    python3 "$(dirname "$0")/progress_table.py"

#!/bin/sh
# Upscales the videos named, two at a time, and shows all of them in one table.
#
#     examples/xargs.sh *.mp4
#     VSR_MODEL=esr-max VSR_SCALE=2 examples/xargs.sh holiday/*.mov
#
# Every event is one line written at once, so the runs can share a pipe. Ends with 0 if all went
# well, else with 1.

run() {
    trap : INT # Ctrl-C is for vsr, which cleans up
    printf '%s\0' "$@" | xargs -0 -n 1 -P 2 vsr upscale --progress json -i ||
        # A run that could not begin has written no event; xargs knows that one failed.
        echo '{"v": 1, "event": "report", "failed": 1}'
}

trap : INT
run "$@" | python3 "$(dirname "$0")/progress_table.py"

#!/bin/sh
# A queue in two folders: upscales every file in IN, one after the other, into OUT.
#
#     examples/queue.sh IN OUT [OPTION...]      options are those of vsr upscale
#
# A file that is done moves to IN/done, one that fails to IN/failed, so the queue can be stopped,
# filled and started again at any time; with the same options it goes on within the file that it was
# stopped in. Ends with 0 if all went well, else with 1.

in=$1 out=$2
shift 2
mkdir -p "$in/done" "$in/failed" "$out"

run() {
    trap : INT # Ctrl-C is for vsr, which cleans up; what it ends with is asked below
    failed=0 stopped=0
    for file in "$in"/*; do
        [ -f "$file" ] || continue
        name=$(basename "$file")
        vsr upscale "$file" -o "$out/${name%.*}.mkv" --progress json --resume "$@"
        code=$?
        if [ "$code" -eq 0 ]; then
            mv "$file" "$in/done/"
        elif [ "$code" -gt 128 ]; then # stopped: the file stays where it is
            stopped=1
            break
        else
            mv "$file" "$in/failed/"
            failed=$((failed + 1))
        fi
    done
    # As vsr batch ends: a run that could not begin has written no event.
    printf '{"v": 1, "event": "report", "failed": %d, "stopped": %d}\n' "$failed" "$stopped"
}

trap : INT
run "$@" | python3 "$(dirname "$0")/progress_table.py"

#!/bin/sh
# A queue in two folders: upscales every file in IN, one after the other, into OUT.
#
#     examples/queue.sh IN OUT [OPTION...]      options are those of vsr upscale
#
# A file that is done moves to IN/done, one that fails to IN/failed, so the queue can be stopped,
# filled and started again at any time. Ends with 0 if all went well, else with 1.

in=$1 out=$2
shift 2
mkdir -p "$in/done" "$in/failed" "$out"
for file in "$in"/*; do
    [ -f "$file" ] || continue
    vsr upscale "$file" -o "$out/$(basename "${file%.*}").mkv" --progress json "$@"
    code=$?
    # 130 and 143: someone wants the queue to stop. The file stays where it is.
    [ "$code" -gt 128 ] && exit "$code"
    [ "$code" -eq 0 ] && mv "$file" "$in/done/" || mv "$file" "$in/failed/"
done | python3 "$(dirname "$0")/progress_table.py"

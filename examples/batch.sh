#!/bin/sh
# Upscales every video named, one after the other, and goes on when one fails.
#
#     examples/batch.sh *.mp4
#     VSR_OPTIONS="--model esr-max --scale 2 -y" examples/batch.sh holiday/*.mov
#
# Ends with 0 if all went well, else with 1 after naming those that did not.

failed=0
for file in "$@"; do
    # VSR_OPTIONS holds several words, so it must not be quoted.
    # shellcheck disable=SC2086
    if vsr upscale "$file" $VSR_OPTIONS; then
        echo "done: $file"
    else
        code=$?
        # 130 and 143: someone wants the whole batch to stop.
        [ "$code" -gt 128 ] && exit "$code"
        echo "failed with exit code $code: $file"
        failed=1
    fi
done
exit "$failed"

#!/usr/bin/env bash
# The studies of docs/results on the pocket pair. Killed and called again, it goes on where it was.
#
#   benchmarks/study_pocket.sh [PROBLEMS] [SAMPLES] [FOLDER]
set -euo pipefail
problems=${1:-100} samples=${2:-2} folder=${3:-.cache/study-pocket}
results=docs/results
mkdir -p "$folder" "$results"
for split in test hard; do
    specreason lab new-problem --json --split "$split" --seed 2 --count "$problems" > "$folder/pocket-$split.jsonl"
done
study() { # SPLIT and flags: each call adds cells to the study of its split
    local split=$1
    shift
    specreason eval run --task "$folder/pocket-$split.jsonl" --pair pocket --samples "$samples" --temperature 0.6 \
        --store "$folder/pocket-$split.sqlite" "$@"
}
# What one call adds takes turns on every problem; what was there before is not run again.
study test --schemes base,small,specreason --thresholds 1,2,3,4,5,6,7,8,9
study test --schemes base+decode,specreason+decode
study test --schemes specreason --first-n 1,2,3
study test --schemes base,specreason --budget 80,120,160
study hard --schemes base,small,specreason --thresholds 3,5,7,9
for split in test hard; do
    specreason eval report "$folder/pocket-$split.sqlite" --traces 3 \
        --html "$results/pocket-$split.html" --markdown "$results/pocket-$split.md"
done
specreason lab new-problem --json --solution --split test --seed 2 --count 100 > "$folder/steps.jsonl"
specreason eval score-quality "$folder/steps.jsonl" --pair pocket

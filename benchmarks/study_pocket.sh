#!/usr/bin/env bash
# The studies of docs/results on the pocket pair. Killed and called again, it goes on where it was.
#
#   benchmarks/study_pocket.sh [PROBLEMS] [SAMPLES] [FOLDER]
set -euo pipefail
problems=${1:-100} samples=${2:-2} folder=${3:-.cache/study-pocket}
results=docs/results
mkdir -p "$folder" "$results"
study() { # NAME SPLIT and flags: a study of its own, so that all its cells take turns on every problem
    local name=$1 split=$2
    shift 2
    specreason lab new-problem --json --split "$split" --seed 2 --count "$problems" > "$folder/$name.jsonl"
    specreason eval run --task "$folder/$name.jsonl" --pair pocket --samples "$samples" --set temperature=0.6 \
        --store "$folder/$name.sqlite" "$@"
    specreason eval report "$folder/$name.sqlite" --traces 2 \
        --html "$results/$name.html" --markdown "$results/$name.md"
}
study pocket-schemes test --vary scheme=base,base+decode,small,specreason,specreason+decode \
    --vary threshold=1,2,3,4,5,6,7,8,9
study pocket-first-n test --vary scheme=base,specreason --vary first_n_base_steps=0,1,2,3
study pocket-budgets test --vary scheme=base,specreason --vary token_budget=80,120,160,640
study pocket-hard hard --vary scheme=base,small,specreason --vary threshold=5,7,9
specreason lab new-problem --json --solution --split test --seed 2 --count 100 > "$folder/steps.jsonl"
specreason eval score-quality "$folder/steps.jsonl" --pair pocket > "$results/pocket-judge.md"

#!/usr/bin/env bash
# The study of docs/results on the pair of language models. Killed and called again, it goes on where it was.
#
#   benchmarks/study_language.sh [PROBLEMS] [TASK] [FOLDER]
set -euo pipefail
problems=${1:-100} task=${2:-../shared/data/gsm8k_dev.jsonl} folder=${3:-.cache/study-language}
results=docs/results
mkdir -p "$folder" "$results"
# Token-level speculation makes this base model slower on a CPU (make bench-decode): left out.
specreason eval run --task "$task" --limit "$problems" --schemes base,small,specreason \
    --budget 1024 --temperature 0 --store "$folder/language.sqlite"
# No traces: they would hold the texts of a data set that is not ours.
specreason eval report "$folder/language.sqlite" --traces 0 \
    --html "$results/language.html" --markdown "$results/language.md"
specreason eval score-quality "$folder/language.sqlite" --limit 200 --store "$folder/judge.sqlite" \
    > "$results/language-judge.md"

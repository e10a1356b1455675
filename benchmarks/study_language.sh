#!/usr/bin/env bash
# A study like that of docs/results (which asked GSM8K) on the pair of language models. Killed and called again,
# it goes on where it was. TASK: as for `specreason eval run`, for example gsm8k.
#
#   benchmarks/study_language.sh [PROBLEMS] [TASK] [FOLDER]
set -euo pipefail
problems=${1:-100} task=${2:-benchmarks/word_problems.jsonl} folder=${3:-.cache/study-language}
results=docs/results
mkdir -p "$folder" "$results"
# Token-level speculation makes this base model slower on a CPU (make bench-decode): left out.
specreason eval run --task "$task" --limit "$problems" --vary scheme=base,small,specreason \
    --set token_budget=1024 --set temperature=0 --store "$folder/language.sqlite"
# No traces: they would hold the texts of a data set that is not ours.
specreason eval report "$folder/language.sqlite" --traces 0 \
    --html "$results/language.html" --markdown "$results/language.md"
specreason eval score-quality "$folder/language.sqlite" --limit 200 --store "$folder/judge.sqlite" \
    > "$results/language-judge.md"

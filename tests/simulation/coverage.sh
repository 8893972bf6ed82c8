#!/usr/bin/env bash
# How much of the core, the steps and the store the simulation alone runs, in lines, and which lines
# it does not. Fails below the bound. Needs llvm-profdata and llvm-cov of the compiler's LLVM version
# (`rustc --version --verbose`), such as Debian's package llvm-22 has them, or on the PATH without a
# version.
#
#   tests/simulation/coverage.sh [SEEDS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly SEEDS="${1:-3000}"
readonly LINES_PERCENT_MIN=95
readonly TARGET="${CARGO_TARGET_DIR:-target}/coverage"

llvm=$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
tool() {
    command -v "$1-$llvm" || command -v "$1" || {
        echo "there is no $1-$llvm: install the LLVM tools, such as Debian's package llvm-$llvm" >&2
        exit 2
    }
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

# What runs while building is instrumented too.
LLVM_PROFILE_FILE="$TARGET/build.profraw" RUSTFLAGS="-C instrument-coverage" cargo build -p simulation --target-dir "$TARGET"
LLVM_PROFILE_FILE="$TARGET/simulation.profraw" "$TARGET/debug/simulation" --seeds "$SEEDS"
"$profdata" merge -sparse "$TARGET/simulation.profraw" -o "$TARGET/simulation.profdata"

measured=("$TARGET/debug/simulation" -instr-profile="$TARGET/simulation.profdata"
    shared/core/src shared/sync/src shared/store/src)
"$cov" show "${measured[@]}" >"$TARGET/lines.txt"
"$cov" report "${measured[@]}" >"$TARGET/report.txt"
# The columns after the name: regions, missed, cover; functions, missed, executed; lines, missed, cover.
awk '$NF && $1 != "Filename" && $1 !~ /^-/ { print $1, "lines", $8, "missed", $9, $10 }' \
    "$TARGET/report.txt" | column -t
echo "the lines that are not reached are marked by 0 in $TARGET/lines.txt"
percent=$(awk '$1 == "TOTAL" { print $10 + 0 }' "$TARGET/report.txt")
awk -v is="$percent" -v min="$LINES_PERCENT_MIN" 'BEGIN { exit !(is >= min) }' || {
    echo "$percent % of the lines are reached, at least $LINES_PERCENT_MIN % have to be" >&2
    exit 1
}

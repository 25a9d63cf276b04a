#!/usr/bin/env bash
# The main job, on the sessions shipped with the project: import them, read one, append to it, take
# it over while another process holds it, and get every source back byte for byte. Works in a
# temporary folder and leaves nothing behind; the sources are only read.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release -p session-journal-cli
sjournal=${CARGO_TARGET_DIR:-target}/release/sjournal
[[ $sjournal == /* ]] || sjournal=$PWD/$sjournal

work=$(mktemp -d)
export SESSION_JOURNAL_STORE=$work/store
holder=
clean_up() {
    # Only the process that this script started, and only if it is still there.
    if [[ -n $holder ]] && kill -CONT "$holder" 2>/dev/null; then
        kill -KILL "$holder" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT

step() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'demo failed: %s\n' "$*" >&2
    exit 1
}
# run ARGUMENTS...: shows the command, and runs it.
run() {
    printf '$ sjournal %s\n' "$*"
    "$sjournal" "$@"
}
# field NAME: the value of a text field in the line of JSON on standard input.
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"; }
# shown COUNT: that many lines of standard input, each made to fit the screen.
shown() { sed -n "1,$1p" | sed 's/   */  /g' | cut -c1-120; }

step 'import the sessions of four generations of OpenClaw and pi'
run --json import tests/fixtures/sessions >"$work/import.jsonl"
tail -n 1 "$work/import.jsonl"
grep -q '"failed":0' "$work/import.jsonl" || fail 'a source could not be imported'

step 'list them, and show one'
run ls >"$work/ls"
shown 7 <"$work/ls"
imported=$(grep '"outcome":"imported"' "$work/import.jsonl")
session=$(field session <<<"$imported" | grep -m 1 '^main/[0-9a-f-]*$')
run info "$session"
run cat "$session" --limit 3 >"$work/cat"
shown 4 <"$work/cat"

step 'get every source back, byte for byte'
compared=0
while IFS= read -r line; do
    source=$(field source <<<"$line")
    "$sjournal" export "$(field session <<<"$line")" >"$work/exported"
    cmp "$work/exported" "$source" || fail "$source came back changed"
    compared=$((compared + 1))
done <<<"$imported"
printf '%s exports compared with their sources\n' "$compared"

step 'append to one that nobody holds'
printf '{"type":"note","text":"appended by the demo"}\n' | run append "$session" --label demo

step 'hold it in another process, and hang that process'
mkfifo "$work/input"
"$sjournal" append "$session" --label holder <"$work/input" >"$work/out" 2>"$work/err" &
holder=$!
exec 9>"$work/input"
printf '{"type":"note","text":"by the holder"}\n' >&9
for _ in $(seq 200); do
    [[ -s $work/out ]] && break
    sleep 0.05
done
[[ -s $work/out ]] || fail 'the holder did not acknowledge its record'
kill -STOP "$holder"
printf 'process %s holds it, acknowledged record %s, and is stopped\n' "$holder" "$(cat "$work/out")"

step 'without force it is refused; with force it is taken at once'
if printf 'refused\n' | run append "$session" --label polite 2>"$work/refused"; then
    fail 'a journal that is held was given away'
fi
cat "$work/refused"
grep -q '\[held-by\]' "$work/refused" || fail 'the refusal is not [held-by]'
printf '{"type":"note","text":"by the taker"}\n' |
    run append "$session" --takeover always --label taker

step 'wake the holder: its next append is fenced'
kill -CONT "$holder"
printf '{"type":"note","text":"too late"}\n' >&9
exec 9>&-
status=0
wait "$holder" || status=$?
holder=
cat "$work/err"
[[ $status == 3 ]] || fail "the holder ended with $status instead of 3"
grep -q '\[fenced\]' "$work/err" || fail 'the holder was not told [fenced]'

step 'who had it, when and why; and what it holds now'
run history "$session"
run tail "$session" -n 3
"$sjournal" cat "$session" >"$work/records"
grep -q 'by the holder' "$work/records" || fail 'an acknowledged record is missing'
grep -q 'by the taker' "$work/records" || fail 'an acknowledged record is missing'
! grep -q 'too late' "$work/records" || fail 'a fenced append became visible'

step 'read every byte of every session'
run verify --all >"$work/verified" || fail 'a session does not verify'
printf '%s sessions verified\n' "$(grep -c '^ok ' "$work/verified")"

printf '\ndemo passed: %s sources imported and returned byte for byte, a hung owner fenced, nothing lost\n' \
    "$compared"

#!/bin/sh
# After the demonstration of studies/low-dose-ct: a harmless software update, and a fourth manufacturer with a sharper kernel.
# Everything is simulated. Run `sh studies/demo.sh low-dose-ct` first; safe to repeat (every call adds a record).
set -eu
cd "$(dirname "$0")/../.."
VENV="${VENV:-.venv}"
study="${STUDY:-studies/low-dose-ct}"
here=studies/low-dose-ct-revalidation
export VALIDATION_ACTOR="Demonstration"
v() { echo; echo "\$ validation $*"; "$VENV/bin/validation" "$@"; }
# Exit code 1 is an honest outcome (hold, or outside the plan); anything above stops the demonstration.
allow() { code=0; v "$@" || code=$?; echo "exit code $code"; [ "$code" -le 1 ] || exit "$code"; }

baseline=$(ls -d "$study"/runs/*/ 2>/dev/null | sort -t_ -k2 | head -n 1)
[ -n "$baseline" ] || { echo "no baseline: run sh studies/demo.sh low-dose-ct first" >&2; exit 2; }
key="$study/keys/demo.pem"

make_cohort() { # folder, then options of make_data.py
  folder=$1; shift
  [ -f "$folder/cases.csv" ] || "$VENV/bin/python" studies/low-dose-ct/make_data.py --out "$folder" --patients 36 --no-ladder "$@"
}
make_cohort "$here/data/software" --seed 20261102 --software "simulation 1.1" --prefix SIMU-
make_cohort "$here/data/scanner_d" --seed 20261101 --scanner D --prefix SIMD- --phantoms 5

v impact "$study" --change "scanner=Simulated D"
allow revalidate "$study" --baseline "$baseline" --cohort "$here/data/software" --change "software=simulation 1.1" --key "$key"
allow revalidate "$study" --baseline "$baseline" --cohort "$here/data/scanner_d" --change "scanner=Simulated D" --key "$key"
v plan "$study"
for record in "$study"/changes/*/runs/*/; do
  [ -f "$record/attestation.dsse.json" ] && v verify "$record" --trust "$study/keys"
done

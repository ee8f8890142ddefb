#!/bin/sh
# The whole way on simulated data: make the cohort, lock, seal, run, verify. Safe to repeat.
set -eu
cd "$(dirname "$0")/../.."
VENV="${VENV:-.venv}"
study=studies/assisted-detection
export VALIDATION_ACTOR="Demonstration"
v() { echo; echo "\$ validation $*"; "$VENV/bin/validation" "$@"; }

[ -f "$study/data/cases.csv" ] || "$VENV/bin/python" "$study/make_data.py"
[ -f "$study/keys/demo.pem" ] || v keygen demo --out "$study/keys"
v check "$study"
[ -f "$study/protocol.lock.yaml" ] || v lock "$study"
[ -f "$study/cohort.manifest.json" ] || v seal "$study"

# Exit code 1 means that a criterion was not met: an honest outcome, and the record is complete.
code=0
v run "$study" --key "$study/keys/demo.pem" || code=$?
[ "$code" -le 1 ] || exit "$code"
run=$(ls -d "$study"/runs/*/ | sort -t_ -k2 | tail -n 1)
v verify "$run" --trust "$study/keys"

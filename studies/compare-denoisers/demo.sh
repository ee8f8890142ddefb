#!/bin/sh
# The whole way on simulated data: train, make the sets, lock, seal, compare on the development set, verify. Safe to repeat.
set -eu
cd "$(dirname "$0")/../.."
VENV="${VENV:-.venv}"
study=studies/compare-denoisers
export VALIDATION_ACTOR="Demonstration"
v() { echo; echo "\$ validation $*"; "$VENV/bin/validation" "$@"; }

[ -f "$study/models/diffusion-3.ts" ] || "$VENV/bin/python" "$study/train.py"
[ -f "$study/data/holdout/cases.csv" ] || "$VENV/bin/python" "$study/make_sets.py"
[ -f "$study/keys/demo.pem" ] || v keygen demo --out "$study/keys"
[ -f "$study/protocol.lock.yaml" ] || v lock "$study"
[ -f "$study/cohort.manifest.json" ] || v seal "$study"

# Exit code 1 means that some purpose has no model that is shown to be fit: an honest outcome, and the record is complete.
code=0
v compare "$study" --key "$study/keys/demo.pem" || code=$?
[ "$code" -le 1 ] || exit "$code"
run=$(ls -d "$study"/comparisons/*/ | sort -t_ -k2 | tail -n 1)
v verify "$run" --trust "$study/keys"
echo
echo "The page: ${run}page/comparison_report.pdf"

#!/bin/sh
# The whole way of one demonstration: make its data, lock, seal, run, verify. Safe to repeat.
#   sh studies/demo.sh super-resolution
set -eu
cd "$(dirname "$0")/.."
VENV="${VENV:-.venv}"
study="studies/${1:?name a study with make_data.py, such as super-resolution}"
export VALIDATION_ACTOR="Demonstration"
v() { echo; echo "\$ validation $*"; "$VENV/bin/validation" "$@"; }

if [ ! -f "$study/data/cases.csv" ]; then
  echo "making the data"
  "$VENV/bin/python" "$study/make_data.py"
fi
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
echo
echo "The documents lie in ${run}dossier. A named person would now decide:"
echo "  $VENV/bin/validation sign $run --key $study/keys/demo.pem --name \"Your Name\" --role reviewer --meaning review"

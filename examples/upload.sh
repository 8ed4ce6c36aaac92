#!/bin/sh
# From a CSV to a trained network, by curl alone: `make serve` in one terminal, in another
#     KEY=$(cat var/api-key) sh examples/upload.sh
set -eu
URL=${URL:-http://127.0.0.1:8700}
FILE=${1:-$(dirname "$0")/houses.csv}
TARGET=${2:-price}

api() { curl --silent --show-error --fail-with-body -H "Authorization: Bearer $KEY" "$@"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

dataset=$(api "$URL/v1/datasets" -F "file=@$FILE" -F "target=$TARGET" | field "['id']")
echo "uploaded as $dataset; what was made of it:"
api "$URL/v1/datasets/$dataset" | python3 -c "
import json, sys
for column in json.load(sys.stdin)['columns']:
    print(f\"  {column['name']:12} {column['kind']:10} {column['missing']} missing\")"

job=$(api "$URL/v1/jobs" -H 'Content-Type: application/json' -d '{
    "name": "'"$TARGET"'",
    "network": {"family": "dnn", "hidden": [32, 32]},
    "data": {"dataset": "'"$dataset"'"},
    "training": {"epochs": 60, "optimizer": {"kind": "adam", "learning_rate": 0.01}}}' | field "['id']")
while [ "$(api "$URL/v1/jobs/$job?wait=30" | field "['terminal']")" != True ]; do :; done
api "$URL/v1/jobs/$job" | python3 -c "
import json, sys
job = json.load(sys.stdin)
print(job['id'], job['status'], job['verdict'], job['best'])"

#!/bin/sh
# Submit, follow, download, by curl alone (python3 only reads JSON): `make serve` in one terminal, in another
#     KEY=$(cat var/api-key) sh examples/train.sh
# The model is left in model.onnx.
set -eu
URL=${URL:-http://127.0.0.1:8700}
FILE=${1:-$(dirname "$0")/digits_dnn.json}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

api() { curl --silent --show-error --fail-with-body -H "Authorization: Bearer $KEY" "$@"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }

# Lost answers and refusals for the moment are asked for again: with its Idempotency-Key a job is made once.
job=$(api --retry 5 --retry-connrefused "$URL/v1/jobs" -H 'Content-Type: application/json' \
    -H "Idempotency-Key: train-$(date +%s)-$$" -d "@$FILE" | field "['id']")
echo "$job is submitted"

# Each call answers when the job is no more what the ETag says, or after 30 seconds with 304 and nothing.
cd "$folder"
ended=False
while [ "$ended" != True ]; do
    api "$URL/v1/jobs/$job?wait=30" --etag-compare etag --etag-save etag -o answer
    if [ -s answer ]; then
        mv answer job
        ended=$(field "['terminal']" < job)
        echo "$(field "['status']" < job), epoch $(field "['progress']['epoch']" < job)"
    fi
done
cd "$OLDPWD"
[ "$(field "['status']" < "$folder/job")" = succeeded ] || { field "['error']" < "$folder/job"; exit 1; }

# Its files are made just after its end: until then the answer is 409, with Retry-After.
model="$URL/v1/jobs/$job/artifacts/model.onnx"
until api --silent "$model" -o model.onnx 2> "$folder/complaint"; do
    grep -q model_pending model.onnx || { cat model.onnx "$folder/complaint"; exit 1; }
    sleep 1
done
echo "model.onnx has $(wc -c < model.onnx) bytes"

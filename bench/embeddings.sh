#!/usr/bin/env bash
# Measures the sentence embedder beside onnxruntime, one thread each, on the same weights and sentences, and writes
# bench/results/…-embeddings.md. See bench/README.md.
#   bench/embeddings.sh                              five rounds of 4 s for each figure (about 2 minutes)
#   ROUNDS=1 SECONDS_EACH=1 bench/embeddings.sh      a quick look
# CORE=1 pins to another core. The Python packages go into an environment of their own in the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
rounds="${ROUNDS:-5}" seconds="${SECONDS_EACH:-4}" core="${CORE:-0}"
target="${CARGO_TARGET_DIR:-target}"
folder="$models/all-minilm-l6-v2"
here=bench/embeddings
sentences="$here/sentences.txt"
goal=0.75

[ -f "$folder/model.safetensors" ] || pull all-minilm-l6-v2
build_examples embed
ours="$examples/embed"
python="$target/bench-python/bin/python"
if ! cmp -s "$here/requirements.txt" "$target/bench-python/requirements.txt"; then
  python3 -m venv "$target/bench-python"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
  cp "$here/requirements.txt" "$target/bench-python/requirements.txt"
fi

work_folder
"$python" "$here/graph.py" "$folder" "$work/model.onnx"
"$ours" vectors "$folder" "$sentences" >"$work/vectors"
theirs() { "$python" "$here/speed.py" "$1" "$work/model.onnx" "$folder/tokenizer.json" "$sentences" "${@:2}"; }
difference="$(theirs check "$work/vectors")"
echo "largest difference of a component: $difference" >&2

# Alternating, so that all have the same weather.
for round in $(seq "$rounds"); do
  for batch in 1 32; do
    taskset -c "$core" "$ours" time "$folder" "$sentences" "$batch" "$seconds" >>"$work/ours-$batch"
    taskset -c "$core" "$python" "$here/speed.py" time "$work/model.onnx" "$folder/tokenizer.json" "$sentences" \
      "$batch" "$seconds" >>"$work/theirs-$batch"
    echo "round $round of $rounds, batch $batch: ours $(tail -1 "$work/ours-$batch"), onnxruntime $(tail -1 "$work/theirs-$batch")" >&2
  done
done

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
spread() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%.0f–%.0f", v[1], v[NR] }'; }
verdict() { awk -v ratio="$1" -v goal="$goal" 'BEGIN { print (ratio >= goal ? "met" : "**missed**") }'; }

{
  result_header "Sentence embeddings beside onnxruntime"
  echo "| onnxruntime | $("$python" -c 'import onnxruntime; print(onnxruntime.__version__)'), one thread, all graph optimisations, graph by \`$here/graph.py\` |"
  echo "| model | all-minilm-l6-v2, f32, SHA-256 $(sha256sum "$folder/model.safetensors" | cut -c1-12)… |"
  echo "| sentences | 32 of 21 tokens each, so that neither side pads |"
  echo "| rounds | $rounds of $seconds s for each figure, alternating, on core $core; medians, least and most in brackets |"
  echo "| largest difference of a vector's component | $difference |"
  echo
  echo "Sentences per second. Ours count the tokenizer and the way through the embedder's thread, onnxruntime's do not."
  echo
  echo "| batch | ours | onnxruntime | ratio | asked |"
  echo "|---:|---:|---:|---:|---|"
  for batch in 1 32; do
    a="$(median "$work/ours-$batch")" b="$(median "$work/theirs-$batch")"
    ratio="$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.2f", a / b }')"
    printf '| %d | %.0f (%s) | %.0f (%s) | %s | ≥ %s: %s |\n' "$batch" "$a" "$(spread "$work/ours-$batch")" \
      "$b" "$(spread "$work/theirs-$batch")" "$ratio" "$goal" "$(verdict "$ratio")"
  done
} >"$work/result"
publish embeddings
# Vectors that differ make the speed worthless.
awk -v difference="$difference" 'BEGIN { exit (difference <= 1e-5 ? 0 : 1) }' ||
  { echo "the vectors differ by more than 1e-5" >&2; exit 1; }

# Sourced by ci/test and ci/demo, from the root of the checkout: the virtual environment, and steps that are timed.

say() { printf '\n== %s\n' "$*"; }

# Prints a Python of 3.11 or newer; PYTHON names one to use.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3 python; do
    if command -v "$candidate" > /dev/null 2>&1 && "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "Python 3.11 or newer is needed and was not found; name one in PYTHON" >&2
  return 3
}

# environment EXTRA: makes .venv where it is absent or of another state of pyproject.toml.
environment() {
  local python stamp
  stamp="$1 $(cksum < pyproject.toml)"
  if [ -x .venv/bin/k8sha ] && [ "$(cat .venv/.k8sha-stamp 2> /dev/null)" = "$stamp" ]; then
    return
  fi
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    say "making .venv with $python"
    "$python" -m venv .venv
  fi
  say "installing the project${1:+ with its $1 tools} into .venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${1:+[$1]}"
  printf '%s' "$stamp" > .venv/.k8sha-stamp
}

failed=()

# step NAME COMMAND…: runs it, tells how long it took, remembers a failure and goes on.
step() {
  local name=$1 start=$SECONDS code=0
  shift
  say "$name"
  "$@" || code=$?
  if [ "$code" != 0 ]; then
    failed+=("$name (exit code $code)")
  fi
  printf -- '-- %s: %s after %d s\n' "$name" "$([ "$code" = 0 ] && echo good || echo "FAILED with $code")" $((SECONDS - start))
}

# together LANE…: runs the lanes, each a function of this script, side by side: real clusters mostly make one wait. Each
# lane's output follows as a whole when all have ended, and its failed steps count.
together() {
  local lane folder code pids=()
  folder=$(mktemp -d)
  say "side by side: $*"
  for lane in "$@"; do
    (
      failed=()
      trap - EXIT
      "$lane"
      : > "$folder/$lane.failed"
      [ "${#failed[@]}" = 0 ] || printf '%s\n' "${failed[@]}" > "$folder/$lane.failed"
    ) > "$folder/$lane.log" 2>&1 &
    pids+=($!)
  done
  for lane in "$@"; do
    code=0
    wait "${pids[0]}" || code=$?
    pids=("${pids[@]:1}")
    cat "$folder/$lane.log"
    if [ -f "$folder/$lane.failed" ]; then
      while read -r line; do failed+=("$line"); done < "$folder/$lane.failed"
    else
      failed+=("$lane (it did not come to its end: exit code $code)")
    fi
  done
  rm -rf "$folder"
}

# Tells what failed; the exit code of the script.
verdict() {
  if [ "${#failed[@]}" = 0 ]; then
    say "all steps are good, after $SECONDS s"
    return 0
  fi
  say "failed, after $SECONDS s:"
  printf '   %s\n' "${failed[@]}"
  return 1
}

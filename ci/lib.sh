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

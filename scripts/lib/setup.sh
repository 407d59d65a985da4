# Shared by the scripts; source it from the root of the tree.

# install_packages demo|test|...: installs what is missing of the list, and nothing else.
install_packages() {
  local wanted=$1 who package missing=() sudo=()
  if ! command -v dpkg-query apt-get >/dev/null; then
    echo "no apt-get here: see scripts/lib/packages for what is needed" >&2
    return 0
  fi
  while read -r who package; do
    if [ "$who" = demo ] || [ "$who" = "$wanted" ]; then
      dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q ' installed$' ||
        missing+=("$package")
    fi
  done < <(grep -v '^#' scripts/lib/packages)
  [ ${#missing[@]} -gt 0 ] || return 0

  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  echo "installing: ${missing[*]}" >&2
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  "${apt[@]}" update </dev/null >&2 || true # an old list may do
  if ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >&2; then
    echo "apt-get could not install: ${missing[*]}" >&2
    return 1
  fi
}

# Builds into build/; quiet unless it fails.
build_tree() {
  local log
  log=$(mktemp) || return 1
  if { [ -f build/build.ninja ] || meson setup build; } >"$log" 2>&1 &&
    meson compile -C build >>"$log" 2>&1; then
    rm -f "$log"
    return 0
  fi
  cat "$log" >&2
  rm -f "$log"
  return 1
}

# dump PID CORE LOG: by gcore; where that is not allowed the process, a child that was started in the
# folder of CORE, is ended with a core of the kernel's.
dump() {
  local pid=$1 core=$2 log=$3 file
  gdb -nx -p "$pid" -batch -ex "gcore $core" >"$log" 2>&1 </dev/null
  if [ -s "$core" ]; then
    grep '^Saved corefile' "$log"
    return 0
  fi
  echo "gcore was not allowed; the kernel writes the core instead"
  kill -ABRT "$pid"
  wait "$pid" 2>/dev/null
  for file in "${core%/*}"/core*; do [ -s "$file" ] && mv "$file" "$core"; done
  [ -s "$core" ] && return 0
  cat "$log" >&2
  echo "no core: ptrace is not allowed, and the kernel sends cores to" \
    "'$(cat /proc/sys/kernel/core_pattern)'; try as root" >&2
  return 1
}

# Shared by the scripts; source it from the root of the tree.

# install_packages demo|test: installs what is missing of the list, and nothing else.
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

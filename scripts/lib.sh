# shellcheck shell=bash
# What the scripts of this folder share: where things are and go, and how to find a Rust toolchain that is new enough.
#
# To be sourced by bash. It only looks: it must not install, build or change anything.

# The top of the repository.
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# Where cargo puts what it builds.
# shellcheck disable=SC2034  # for those who source this
target_dir=${CARGO_TARGET_DIR:-$root/target}

# Says what is wrong, on standard error, and ends the script with status 2: it cannot run.
cannot() {
    printf '%s\n' "${0##*/}: $1" "${@:2}" >&2
    exit 2
}

# The oldest Rust that builds the workspace.
rust_version() {
    sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"
}

# Whether version $1 is $2 or newer. Both are numbers with dots.
is_at_least() {
    [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# The path of a cargo that is new enough: the one in PATH, else rustup's. Fails if there is none.
find_cargo() {
    local cargo version wanted
    wanted=$(rust_version)
    for cargo in "$(command -v cargo || true)" "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo"; do
        [ -x "$cargo" ] || continue
        # In the workspace, where a rust-toolchain file would count. `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`
        version=$(cd "$root" && "$cargo" --version 2>/dev/null) || continue
        version=${version#cargo }
        if is_at_least "${version%%[- ]*}" "$wanted"; then
            echo "$cargo"
            return
        fi
    done
    return 1
}

# Where scripts/install writes down what it has installed: a line for each file, `file` or `config` and its place.
# shellcheck disable=SC2034
installed_list=/usr/lib/ovstunnel/installed

# The lines of scripts/packaging/layout for a host of a kind, `dom0` or `kvm`: mode, place, source, word.
layout() {
    awk -v kind="$1" '!/^ *(#|$)/ && ($4 == "" || $4 == "config" || $4 == kind)' "$root/scripts/packaging/layout"
}

# The package that has the installed daemon; fails where none has.
package_owner() {
    dpkg-query --search /usr/sbin/ovstunneld 2>/dev/null || rpm -qf /usr/sbin/ovstunneld 2>/dev/null
}

# What the scripts share. Source it; it changes to the repository's folder.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# install_packages DEBIAN-PACKAGE...: when root, else names them.
install_packages() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        # The lists of a fresh machine are empty or old.
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
    else
        die "missing: install these Debian packages first: $*"
    fi
}

# need PROGRAM=DEBIAN-PACKAGE...: installs what is missing.
need() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

# need_library NAME=DEBIAN-PACKAGE...: the same for shared libraries.
need_library() {
    local missing=() pair
    for pair in "$@"; do
        ldconfig -p | grep -q "^\s*${pair%%=*} " || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

# built CARGO-BUILD-OPTION...: builds, and prints the path of each program that was asked for, one a line. cargo alone
# knows where they are: CARGO_TARGET_DIR, CARGO_BUILD_TARGET and its configuration all have a say.
built() {
    cargo build --locked --quiet --message-format=json-render-diagnostics "$@" |
        sed -nE 's/.*"executable":"(([^"\\]|\\.)*)".*/\1/p' | sed -E 's/\\(.)/\1/g'
}

# built_library CARGO-BUILD-OPTION...: the same for a shared library.
built_library() {
    # Macros are shared libraries too.
    cargo build --locked --quiet --message-format=json-render-diagnostics "$@" | grep '"crate_types":\[[^]]*"cdylib"' |
        sed -nE 's/.*"filenames":\[[^]]*"(([^"\\]|\\.)*\.so)".*/\1/p' | sed -E 's/\\(.)/\1/g'
}

# Where cargo builds, for what is built beside it and outlives a run.
target_directory() {
    cargo metadata --locked --format-version 1 --no-deps | sed -nE 's/.*"target_directory":"([^"]*)".*/\1/p'
}

# built_programs CARGO-BUILD-OPTION...: the same as 'built' for scripts/pkcs11/programs, which are a workspace of their own.
built_programs() {
    built --release --manifest-path scripts/pkcs11/programs/Cargo.toml --target-dir "$(target_directory)/pkcs11/programs" "$@"
}

# libp11's engine, which is no program.
need_engine() {
    local engines
    engines=$(openssl version -e)
    engines=${engines#*\"}
    [ -e "${engines%\"}/pkcs11.so" ] || install_packages libengine-pkcs11-openssl
}

need_rust() {
    command -v cargo >/dev/null || die "missing: Rust 1.95 or later (https://rustup.rs)"
}

# What a build with the feature etcd needs: the compiler of protocol buffers, and the definitions that come with it.
need_protoc() {
    local missing=()
    command -v protoc >/dev/null || missing+=(protobuf-compiler)
    # Another protoc than Debian's has them beside it.
    [ -e /usr/include/google/protobuf/any.proto ] || [ -n "${PROTOC_INCLUDE:-}" ] ||
        [ "$(command -v protoc)" != /usr/bin/protoc ] || missing+=(libprotobuf-dev)
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

need_fuse() {
    [ -c /dev/fuse ] || die "/dev/fuse is missing: load the fuse module, or pass the device into the container"
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || die "/dev/fuse is not open to $(id -un)"
}

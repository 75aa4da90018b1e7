# What the PKCS#11 batteries share: checks and their count, free ports, and processes that end with the script.
# Source it. A battery gets its token by environment, and scripts/pkcs11/run makes one: MODULE (path of the module),
# TOKEN (label), PIN, SO_PIN, KIND (slotfs, softhsm or kryoptic).
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

: "${MODULE:?start this by scripts/pkcs11/run}" "${TOKEN:?}" "${PIN:?}" "${SO_PIN:?}" "${KIND:?}"
export MODULE TOKEN PIN SO_PIN KIND
SOURCES=$PWD/scripts/pkcs11
WORK=$(mktemp -d)
export WORK

# Processes and folders that must not outlive the battery.
CHILDREN=()
FOLDERS=("$WORK")
cleanup() {
    local child
    cd /
    for child in ${CHILDREN[@]+"${CHILDREN[@]}"}; do
        kill "$child" 2>/dev/null || true
    done
    [ -n "${KEEP:-}" ] && echo "kept: ${FOLDERS[*]}" && return
    rm -rf "${FOLDERS[@]}"
}
trap cleanup EXIT

# Checks that are known to fail, and why: limit NAME REASON. One that passes nevertheless is counted as passed.
declare -A LIMITS=()
limit() { LIMITS[$1]=$2; }
# The same for one kind of module only: what the other modules do is recorded, so that the scripts can be tried on them.
limit_of() { [ "$KIND" != "$1" ] || LIMITS[$2]=$3; }

passed=0 known=0 failed=0
# check NAME COMMANDS: runs them in a shell of their own in $WORK; everything they print is in $WORK/NAME.out. A pipe fails
# with any of its programs, so none of them may end early, as grep -q does at its match.
check() {
    local name=$1 status=0 start=${EPOCHREALTIME/./} took
    (cd "$WORK" && exec timeout --kill-after=5 "${CHECK_SECONDS:-60}" bash -o pipefail -c "$2") \
        >"$WORK/$name.out" 2>&1 </dev/null || status=$?
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        printf '%-26s ok    %6d ms\n' "$name" "$took"
    elif [ -n "${LIMITS[$name]:-}" ]; then
        known=$((known + 1))
        printf '%-26s known %6d ms  %s\n' "$name" "$took" "${LIMITS[$name]}"
    else
        failed=$((failed + 1))
        printf '%-26s FAIL  %6d ms  exit status %d\n' "$name" "$took" "$status"
        tail -n 15 "$WORK/$name.out" | sed 's/^/    | /'
    fi
}

# finish NAME BAR: the closing count; fails below the bar, and if a check failed that is not known to.
finish() {
    printf '%s with %s: %d of %d passed, %d known to fail, %d failed; at least %d must pass\n' \
        "$1" "$KIND" "$passed" $((passed + known + failed)) "$known" "$failed" "$2"
    [ "$failed" -eq 0 ] && [ "$passed" -ge "$2" ]
}

# free_port: a TCP port of 127.0.0.1 that nobody listens on.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A folder that outlives the run, for what takes minutes to build.
CACHE=$(target_directory)/pkcs11
mkdir -p "$CACHE"
# package_of_programs NAME: the folder of a crate whose files are used.
package_of_programs() {
    cargo metadata --locked --format-version 1 --manifest-path "$SOURCES/programs/Cargo.toml" |
        python3 -c 'import json, sys, os
print(next(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$1"
}

# What the checks call.
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
# uri ATTRIBUTE...: the RFC 7512 name of an object of the token.
uri() { printf 'pkcs11:token=%s' "${TOKEN// /%20}"; printf ';%s' "$@"; }
# key ID: a private key, for the engine.
key() { uri "id=%$1" type=private "pin-value=$PIN"; }
# pem_of ID: the public key of a key pair, as PEM.
pem_of() { p11 --read-object --type pubkey --id "$1" -o "pub$1.der" >&2 && openssl pkey -pubin -inform der -in "pub$1.der"; }
# until_true COMMAND...: asks for ten seconds.
until_true() {
    local n
    for n in $(seq 100); do
        "$@" && return
        sleep 0.1
    done
    echo "not within ten seconds: $*" >&2
    return 1
}
listening() { (: </dev/tcp/127.0.0.1/"$1") 2>/dev/null; }
export -f p11 uri key pem_of until_true listening

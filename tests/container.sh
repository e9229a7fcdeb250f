#!/usr/bin/env bash
# Tests introspod's image in containers, as Kubernetes would run it.
#
#     tests/container.sh oci:DIRECTORY     tests the image in this OCI image layout, as release/build makes it
#     tests/container.sh BINARY            tests an image of the Dockerfile's last stage with this static binary
#     tests/container.sh --build-stage     runs the commands of the Dockerfile's build stage on this machine,
#                                          without the base image, and checks the binary that they build
#
# Needs root and the Debian packages podman, runc, busybox-static, python3-yaml and openssl. It pulls no
# images, because registries may not be reachable.
set -uo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d /var/tmp/introspod-container.XXXXXX)
image=ghcr.io/introspod/introspod:$("$top/release/version") # the name that the examples use
secrets=/var/run/secrets/kubernetes.io/serviceaccount
service_account=$top/examples/dry-run/root$secrets:$secrets:ro
passed=0
failed=0

die() {
    echo "tests/container.sh: $*" >&2
    exit 1
}

# A separate storage, because the images below have the names of real images.
podman() {
    command podman --root "$work/storage" --runroot "$work/run" "$@"
}

# On some machines runc may not raise limits, and crun does not support hybrid cgroups. No test needs a network.
run() {
    podman run --runtime runc --ulimit nofile=1024:1024 --ulimit nproc=10000:10000 --network none "$@"
}

clean_up() {
    podman rm --force --all --time 0
    podman image umount --all
    umount "$work/storage/overlay"
    rm -rf "$work"
} >/dev/null 2>&1
trap clean_up EXIT

# check DESCRIPTION FUNCTION: the function runs in a shell that ends at the first failure.
check() {
    local output status
    output=$(set -e; "$2" 2>&1)
    status=$?
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        echo "ok      $1"
    else
        failed=$((failed + 1))
        echo "FAILED  $1"
        sed 's/^/        /' <<<"$output"
    fi
}

expect() {
    [ "$2" = "$1" ] || { printf 'expected: %s\n     got: %s\n' "$1" "$2"; return 1; }
}

# ------------------------------------------------------------------------------------------------
# The image

# Prints the build stage, one instruction on each line.
build_stage() {
    sed '/^#/d; /^$/d' "$top/Dockerfile" | sed ':join; /\\$/ { N; s/\\\n//; b join }' | awk '/^FROM/ { stage++ } stage == 1'
}

# Runs the COPY and RUN instructions of the build stage on this machine, in $work/source for /source.
play_build_stage() {
    local instruction arguments words destination source
    mkdir "$work/source" && cd "$top" && shopt -s nullglob || return
    # Dependencies that are compiled already need not be compiled again.
    for source in "target/$(rustc --print host-tuple)/release"; do
        mkdir -p "$(dirname "$work/source/$source")" && cp -a "$source" "$work/source/$source"
    done
    cd "$work/source" || return
    while read -r instruction arguments; do
        case $instruction in
        FROM | WORKDIR) ;;
        COPY)
            read -ra words <<<"$arguments"
            destination=${words[-1]}
            unset 'words[-1]'
            for source in "${words[@]}"; do
                grep -qx "!$source" "$top/.dockerignore" || die ".dockerignore keeps $source from the build"
            done
            if [ "${destination%/}" = "$destination" ]; then
                cp -RT "$top/${words[0]}" "$destination"
            else
                cp -R "${words[@]/#/$top/}" "$destination"
            fi || return
            ;;
        RUN) env -u CARGO_TARGET_DIR -u RUSTFLAGS sh -c "$arguments" </dev/null || return ;;
        *) die "cannot play $instruction" ;;
        esac
    done < <(build_stage)
}

case ${1:-} in
--build-stage)
    (play_build_stage) >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; die "the Dockerfile's build stage fails"; }
    "$work/introspod" --version || die "what the Dockerfile's build stage builds does not run"
    echo "1 passed, 0 failed"
    exit
    ;;
oci:*) ;;
'') die "which image or binary?" ;;
*) cp "$1" "$work/introspod" || die "no binary" ;;
esac

# The image under test, as $image, and its binary as $work/introspod.
image_under_test() {
    local id
    if [ -e "$work/introspod" ]; then
        mkdir "$work/build"
        cp "$work/introspod" "$work/build/introspod"
        podman build --quiet --build-context "build=$work/build" --build-arg "VERSION=$("$top/release/version")" --tag "$image" "$top"
    else
        id=$(podman pull --quiet "$1") && podman tag "$id" "$image" &&
            cp "$(podman image mount "$image")/introspod" "$work/introspod" && podman image umount "$image"
    fi
}

build_images() {
    local busybox applet
    busybox=$(command -v busybox) || { echo "no busybox"; return 1; }
    mkdir -p "$work/busybox/bin"
    cp "$busybox" "$work/busybox/bin/busybox"
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$work/busybox/bin/$applet"
    done
    image_under_test "$1" &&
        printf 'FROM scratch\nCOPY bin /bin\nENV PATH=/bin\nCMD ["sh"]\n' |
        podman build --quiet --tag docker.io/library/busybox:1.37 --file - "$work/busybox" &&
        podman build --quiet --tag entrypoint "$top/examples/entrypoint" &&
        build_stand_ins
}

# Substitutes for the other images of the examples: this machine's Python, and a script.
build_stand_ins() {
    local pods=$top/tests/pods
    mkdir -p "$work/python/usr" "$work/python/stand-in" "$work/whoami"
    for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$work/python/$directory"; done
    ln -s /usr/bin/python3 "$work/python/stand-in/python"
    cp "$pods/kubectl.py" "$work/python/stand-in/"
    cp "$pods/whoami" "$work/whoami/"
    podman tag entrypoint ghcr.io/introspod/example-entrypoint:0.1.0 &&
        printf 'FROM scratch\nCOPY . /\nENV PATH=/stand-in:/bin\n' |
        podman build --quiet --tag docker.io/library/python:3.13-alpine --file - "$work/python" &&
        printf 'FROM docker.io/library/python:3.13-alpine\nENTRYPOINT ["python", "/stand-in/kubectl.py"]\n' |
        podman build --quiet --tag registry.k8s.io/kubectl:v1.36.2 --file - "$work/python" &&
        printf 'FROM docker.io/library/busybox:1.37\nCOPY whoami /whoami\nENTRYPOINT ["/whoami"]\n' |
        podman build --quiet --tag docker.io/traefik/whoami:v1.11.0 --file - "$work/whoami"
}

if ! build_images "$1" >"$work/images.log" 2>&1; then
    cat "$work/images.log" >&2
    die "the images cannot be built"
fi
if ! run --rm docker.io/library/busybox:1.37 true >"$work/run.log" 2>&1; then
    cat "$work/run.log" >&2
    die "this machine cannot run containers, so nothing about them can be said"
fi

image_holds_introspod_alone() {
    expect /introspod "$(cd "$(podman image mount "$image")" && find . -mindepth 1 | sed 's/^\.//')"
    expect '[/introspod] 65532:65532' "$(podman image inspect --format '{{.Config.Entrypoint}} {{.Config.User}}' "$image")"
    expect "$("$top/release/version")" \
        "$(podman image inspect --format '{{index .Labels "org.opencontainers.image.version"}}' "$image")"
}

image_runs() {
    run --rm "$image" print
}

# ------------------------------------------------------------------------------------------------
# The application

# started WORD ARGUMENT...: starts a container and prints its ID, once its application has said WORD.
started() {
    local id
    id=$(run --detach "${@:2}")
    for _ in $(seq 100); do
        if podman logs "$id" 2>&1 | grep -q "$1"; then
            echo "$id"
            return
        fi
        sleep 0.1
    done
    podman logs "$id"
    return 1
}

# expect_stop CODE ID: the container ends with CODE, long before the end of its grace period.
expect_stop() {
    local since=$SECONDS
    podman stop --time 30 "$2"
    [ $((SECONDS - since)) -lt 10 ] || { echo "took $((SECONDS - since)) seconds"; return 1; }
    expect "$1" "$(podman inspect --format '{{.State.ExitCode}}' "$2")"
}

application_is_process_1_and_the_only_one() {
    expect "1 1" "$(run --rm entrypoint sh -c 'set -- /proc/[0-9]*; echo $$ $#')"
}

stop_reaches_the_application() {
    expect_stop 42 "$(started ready entrypoint sh -c 'trap "exit 42" TERM; echo ready; sleep infinity & wait')"
}

status_is_the_applications() {
    expect 7 "$(run --rm entrypoint sh -c 'exit 7'; echo $?)"
}

# podman uses these codes too. The message shows which program failed.
failures_have_their_codes() {
    code() {
        run --rm "$@" 2>"$work/stderr"
        echo "$? $(grep -o '^introspod: ' "$work/stderr" | head -n 1)"
    }
    expect "127 introspod: " "$(code entrypoint /bin/nothing)"
    expect "126 introspod: " "$(code entrypoint /etc)"
    expect "125 introspod: " "$(code --env INTROSPOD_REQUIRE=NO_SUCH entrypoint true)"
}

# Process 1 receives only signals for which it has a handler.
stop_reaches_introspod_while_it_waits() {
    local id
    id=$(run --detach --volume "$service_account" --env KUBERNETES_SERVICE_HOST=127.0.0.1 --env KUBERNETES_SERVICE_PORT=1 \
        --env INTROSPOD_API=always --env INTROSPOD_TIMEOUT=60s entrypoint true)
    sleep 1
    expect running "$(podman inspect --format '{{.State.Status}}' "$id")"
    expect_stop 143 "$id"
}

entrypoint_and_command_are_concatenated() {
    expect "-- --set two  words" "$(run --rm entrypoint echo -- --set 'two  words')"
    local id
    id=$(started PATH= entrypoint)
    expect "sh -c env | sort; trap 'exit 0' TERM; sleep infinity & wait " \
        "$(tr '\0' ' ' <"/proc/$(podman inspect --format '{{.State.Pid}}' "$id")/cmdline")"
    expect_stop 0 "$id"
}

# ------------------------------------------------------------------------------------------------
# The container

runs_with_nothing_allowed() {
    expect "65532 0000000000000000 1 read-only" "$(run --rm --read-only --read-only-tmpfs=false --user 65532:65532 \
        --cap-drop ALL --security-opt no-new-privileges entrypoint sh -c '
            status() { sed -n "s/^$1:\t\([^\t]*\).*/\1/p" /proc/self/status; }
            touch /file 2>/dev/null || writable=read-only
            echo $(status Uid) $(status CapEff) $(status NoNewPrivs) $writable')"
}

# 65,540 KiB is a multiple of the page size and 130m a multiple of 10m, so cgroups do not round them.
limits_are_variables() {
    expect "130 65540" "$(run --rm --cpus 0.13 --memory 67112960 entrypoint \
        sh -c 'echo $CONTAINER_CPU_LIMIT_MILLICORES $CONTAINER_MEMORY_LIMIT_KIBIBYTES')"
}

no_limit_is_no_variable() {
    expect "PATH=/bin" "$(run --rm entrypoint env | grep -e '^PATH=' -e '^CONTAINER_.*_LIMIT_')"
}

# ------------------------------------------------------------------------------------------------
# A volume that containers share, such as an emptyDir: every user may write, and each container has another user

mkdir -m 0777 "$work/shared"

files_are_written_by_one_and_read_by_another() {
    run --rm --user 1000:1000 --read-only --read-only-tmpfs=false --volume "$work/shared:/shared" --volume "$service_account" \
        "$image" write --out /shared/pod.env --out /shared/pod.sh --out /shared/pod.json
    expect "1000 644 1000 644 1000 644" "$(cd "$work/shared" && echo $(stat --format '%u %a' pod.env pod.sh pod.json))"
    expect "downward POD_NAME='downward'" "$(run --rm --user 2000:2000 --volume "$work/shared:/shared:ro" \
        docker.io/library/busybox:1.37 sh -c '. /shared/pod.sh; echo $POD_NAME $(grep ^POD_NAME= /shared/pod.env)')"
}

installed_binary_runs_in_another_image() {
    for _ in first again; do
        run --rm --user 1000:1000 --read-only --read-only-tmpfs=false --volume "$work/shared:/shared" "$image" install /shared
    done
    expect "1000 755 introspod" "$(cd "$work/shared" && stat --format '%u %a %n' introspod*)"
    cmp "$work/introspod" "$work/shared/introspod"
    expect "wrapped" "$(run --rm --user 2000:2000 --volume "$work/shared:/shared:ro" docker.io/library/busybox:1.37 \
        /shared/introspod exec -- echo wrapped)"
}

# ------------------------------------------------------------------------------------------------
# The examples

examples_run() {
    /usr/bin/python3 "$top/tests/pods/run.py" podman --root "$work/storage" --runroot "$work/run" --runtime runc
}

# ------------------------------------------------------------------------------------------------
# The container of another process, as kubectl debug --target shows it

another_container_is_described() {
    local id
    id=$(started ready --volume "$service_account" --memory 67112960 --env HOST_IP=10.99.0.1 docker.io/library/busybox:1.37 \
        sh -c 'echo ready; exec sleep 600')
    expect "65540 downward 10.99.0.1" "$(echo $(run --rm --pid "container:$id" --user 0:0 --cap-add SYS_PTRACE "$image" \
        print --process 1 CONTAINER_MEMORY_LIMIT_KIBIBYTES POD_NAME HOST_IP))"
    # The image's own user may not read a process of root.
    expect "1 runAsUser" "$(run --rm --pid "container:$id" "$image" print --process 1 2>"$work/stderr"
        echo $? $(grep -o runAsUser "$work/stderr" | head -n 1))"
}

check "the image holds introspod alone, and says so" image_holds_introspod_alone
check "the image runs" image_runs
check "ENTRYPOINT and CMD of the example are concatenated" entrypoint_and_command_are_concatenated
check "process 1 is the application, and there is no other" application_is_process_1_and_the_only_one
check "a stop is the application's SIGTERM, at once, and its status comes back" stop_reaches_the_application
check "a stop ends introspod at once while it waits for the API" stop_reaches_introspod_while_it_waits
check "the application's status is the container's" status_is_the_applications
check "introspod's failures are 125, 126 and 127" failures_have_their_codes
check "read-only, as nobody, without capabilities and new privileges" runs_with_nothing_allowed
check "the container's limits are variables, to the digit" limits_are_variables
check "no limit is no variable" no_limit_is_no_variable
check "files in a shared volume, written by one user and read by another" files_are_written_by_one_and_read_by_another
check "the installed binary in front of another image's command" installed_binary_runs_in_another_image

check "the examples' pods" examples_run
check "another container is described by its process" another_container_is_described

echo "the image's only file: $(stat --format %s "$work/introspod") bytes"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

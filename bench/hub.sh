#!/bin/bash
# The registry beside Debian's docker-registry, in one run on one machine: requests for manifests (wrk), a large layer read
# (curl), a push (curl). Both serve the same content from file systems under $WORK, on loopback.
#
# Usage: bench/hub.sh [path of strata]     needs docker-registry, wrk, curl, python3
set -eu
STRATA=${1:-target/release/strata}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/strata-hub-bench.XXXXXX")
SECONDS_EACH=${SECONDS_EACH:-5}
LAYER_MIB=${LAYER_MIB:-512}
OURS=127.0.0.1:17651
THEIRS=127.0.0.1:17652
PIDS=()
trap 'kill "${PIDS[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$WORK"' EXIT

cat > "$WORK/registry.yml" <<C
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $WORK/theirs}, delete: {enabled: true}}
http: {addr: $THEIRS}
C
"$STRATA" registry serve --addr $OURS --root "$WORK/ours" > "$WORK/ours.log" 2>&1 &
PIDS+=($!); OURS_PID=$!
docker-registry serve "$WORK/registry.yml" > "$WORK/theirs.log" 2>&1 &
PIDS+=($!); THEIRS_PID=$!
for address in $OURS $THEIRS; do
    for _ in $(seq 100); do curl -fs -o /dev/null "http://$address/v2/" && break; sleep 0.1; done
done

# A layer, and small ones for the push: bytes that do not compress, the same on both sides.
head -c "${LAYER_MIB}M" /dev/urandom > "$WORK/layer"
for number in $(seq 40); do head -c 3M /dev/urandom > "$WORK/small$number"; done
printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}' > "$WORK/config"

digest() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }

push_blob() { # address file digest
    local location
    location=$(curl -fs -X POST -D - -o /dev/null "http://$1/v2/bench/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    case $location in http*) ;; *) location="http://$1$location" ;; esac
    location=$(curl -fs -X PATCH -T "$2" -D - -o /dev/null "$location" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    case $location in http*) ;; *) location="http://$1$location" ;; esac
    case $location in *\?*) location="$location&digest=$3" ;; *) location="$location?digest=$3" ;; esac
    curl -fs -X PUT -o /dev/null "$location"
}

cpu() { awk '{ print ($14 + $15) / 100 }' "/proc/$1/stat"; }
now() { date +%s.%N; }
row() { python3 -c "import sys; n, o, t = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]); print(f'{n:34} {o:12.3f} {t:12.3f} {o / t:8.2f}')" "$@"; }

LAYER=$(digest "$WORK/layer"); CONFIG=$(digest "$WORK/config")
declare -A SMALL
for number in $(seq 40); do SMALL[$number]=$(digest "$WORK/small$number"); done
python3 - "$WORK" "$CONFIG" "$LAYER" "${SMALL[@]}" <<'P'
import json, os, sys
work, config, layer, small = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
layers = [{"mediaType": gzip, "digest": layer, "size": os.path.getsize(work + "/layer")}]
layers += [{"mediaType": gzip, "digest": digest, "size": 3 << 20} for digest in small]
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config,
                       "size": os.path.getsize(work + "/config")}, "layers": layers}
open(work + "/manifest", "w").write(json.dumps(manifest))
P
MANIFEST=$(digest "$WORK/manifest")

push_all() { # address: what a client does, five blobs at a time
    local pushes=() number
    push_blob "$1" "$WORK/layer" "$LAYER" & pushes+=($!)
    for number in $(seq 40); do
        push_blob "$1" "$WORK/small$number" "${SMALL[$number]}" & pushes+=($!)
        if (( ${#pushes[@]} >= 5 )); then wait "${pushes[@]}"; pushes=(); fi
    done
    wait "${pushes[@]}"
    push_blob "$1" "$WORK/config" "$CONFIG"
    curl -fs -X PUT -o /dev/null -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
        --data-binary @"$WORK/manifest" "http://$1/v2/bench/app/manifests/latest"
}

printf '%-34s %12s %12s %8s\n' "" ours docker-reg. ratio
sync
began=$(now); push_all $OURS; ours=$(python3 -c "print($(now) - $began)")
sync
began=$(now); push_all $THEIRS; theirs=$(python3 -c "print($(now) - $began)")
row "push of an image, s" "$ours" "$theirs"

requests() { wrk -t1 -c16 -d"$SECONDS_EACH" "$1" | awk '/Requests\/sec/ { print $2 }'; }
for target in latest "$MANIFEST"; do
    name=${target%%:*}
    ours=$(requests "http://$OURS/v2/bench/app/manifests/$target")
    theirs=$(requests "http://$THEIRS/v2/bench/app/manifests/$target")
    row "manifest by ${name/sha256/digest}, requests/s" "$ours" "$theirs"
done

read_layer() { # address pid: GB/s, CPU seconds of the server for each GB
    local before began i
    curl -fs -o /dev/null "http://$1/v2/bench/app/blobs/$LAYER"
    before=$(cpu "$2"); began=$(now)
    for i in 1 2 3 4; do curl -fs -o /dev/null "http://$1/v2/bench/app/blobs/$LAYER"; done
    python3 -c "gb = 4 * $LAYER_MIB / 1024; print(gb / ($(now) - $began), ($(cpu "$2") - $before) / gb)"
}
read -r our_speed our_cpu <<< "$(read_layer $OURS $OURS_PID)"
read -r their_speed their_cpu <<< "$(read_layer $THEIRS $THEIRS_PID)"
row "layer read, GiB/s" "$our_speed" "$their_speed"
row "layer read, CPU s/GiB" "$our_cpu" "$their_cpu"
row "resident memory at the end, MiB" "$(awk '/VmRSS/ { print $2 / 1024 }' /proc/$OURS_PID/status)" \
    "$(awk '/VmRSS/ { print $2 / 1024 }' /proc/$THEIRS_PID/status)"

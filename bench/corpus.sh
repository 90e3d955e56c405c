#!/bin/bash
# corpus.sh - realistic container images from public Debian, PyPI and npm packages, built with public tools
# (mmdebstrap, buildah, skopeo) and pushed to a docker-registry on loopback. Called by `cargo xtask corpus`; root.
#
#   PEERS=/tmp/peers bench/corpus.sh          6-10 min on 2 cores      SMALL=1: debian, busybox, nginx only
#
# Leaves:  $PEERS/registry       docker-registry storage (filesystem driver)
#          $PEERS/corpus/oci     one OCI layout per image  (oci:$PEERS/corpus/oci/NAME:TAG)
#          $PEERS/registry.yml   to start the registry again:  docker-registry serve $PEERS/registry.yml
# Images are gzip in Docker schema 2 manifests, as most of what registries hold; NAME:TAG-zstd are OCI with zstd.
# The Debian mirror is this machine's own; pip and npm use their own configuration.
set -euo pipefail
PEERS=${PEERS:-/tmp/peers}; REG=${REG:-127.0.0.1:5000}; SUITE=${SUITE:-bookworm}; SMALL=${SMALL:-}
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $SUITE" | sort -u | head -n 1)}
W=$PEERS/corpus; mkdir -p "$W/oci" "$PEERS/registry"
ST="--root $PEERS/build-root --runroot $PEERS/build-run --storage-driver overlay"
GZIP_IMAGES=(); ZSTD_IMAGES=()

bld() { # bld NAME:TAG CONTEXT [zstd]   builds, and queues the image for the push at the end
  buildah $ST bud --layers --isolation chroot --network host --format docker --timestamp "${SOURCE_DATE_EPOCH:-1700000000}" \
    --pull-never -q -t "localhost/$1" "$2" >/dev/null || { echo "build failed: $1" >&2; exit 1; }
  GZIP_IMAGES+=("$1"); [ -z "${3:-}" ] || ZSTD_IMAGES+=("$1")
  echo "built $1 ($SECONDS s)"
}

APT='set -eux; apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends'
CLEAN='rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log'

# --- the registry ----------------------------------------------------------------------------------------------
cat > "$PEERS/registry.yml" <<Y
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $PEERS/registry}, delete: {enabled: true}}
http: {addr: $REG}
Y
if ! curl -sf "http://$REG/v2/" >/dev/null; then
  setsid docker-registry serve "$PEERS/registry.yml" >"$PEERS/registry.log" 2>&1 & echo $! >"$PEERS/registry.pid"
  for _ in $(seq 50); do curl -sf "http://$REG/v2/" >/dev/null && break; sleep .1; done
fi

# --- debian:12-slim: one layer, documentation and locales left out as in the official slim image -------------------
if [ ! -s "$W/base.tar" ]; then
  mmdebstrap --variant=minbase --mode=root --include=ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*.log' \
    --customize-hook='[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates/. "$1"/usr/local/share/ca-certificates/; chroot "$1" update-ca-certificates >/dev/null 2>&1 || true' \
    "$SUITE" "$W/base.tar" "$MIRROR"
fi
d=$W/debian; mkdir -p $d; ln -f "$W/base.tar" $d/base.tar
printf 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n' > $d/Dockerfile; bld debian:12-slim $d

# --- busybox:1: a static binary and 400 hard links ------------------------------------------------------------------
d=$W/busybox; rm -rf $d; mkdir -p $d/r/{bin,etc,dev,tmp,home,root,usr/bin,usr/sbin,sbin,var/spool,proc,sys}
cp "$(command -v busybox)" $d/r/bin/busybox; chmod 1777 $d/r/tmp
for a in $($d/r/bin/busybox --list); do [ $a = busybox ] || ln -f $d/r/bin/busybox $d/r/bin/$a; done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' > $d/r/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' > $d/r/etc/group
tar -C $d/r --numeric-owner --owner=0 --group=0 --sort=name -cf $d/r.tar .; rm -rf $d/r
printf 'FROM scratch\nADD r.tar /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["sh"]\n' > $d/Dockerfile
bld busybox:1 $d

# --- nginx:1.22 -----------------------------------------------------------------------------------------------------
d=$W/nginx; mkdir -p $d
for f in docker-entrypoint.sh 10-listen-on-ipv6-by-default.sh 15-local-resolvers.envsh 20-envsubst-on-templates.sh 30-tune-worker-processes.sh; do
  printf '#!/bin/sh\n# %s\nset -e\n[ "$#" = 0 ] || exec "$@"\n' $f > $d/$f; chmod 755 $d/$f; done
cat > $d/Dockerfile <<D
FROM localhost/debian:12-slim
LABEL maintainer="Corpus Maintainers <none@example.invalid>" org.opencontainers.image.title=nginx
ENV NGINX_VERSION=1.22.1 PKG_RELEASE=1~bookworm
RUN $APT nginx libnginx-mod-http-image-filter libnginx-mod-http-xslt-filter libnginx-mod-http-geoip gettext-base curl; ln -sf /dev/stdout /var/log/nginx/access.log; ln -sf /dev/stderr /var/log/nginx/error.log; mkdir -p /docker-entrypoint.d; $CLEAN
COPY docker-entrypoint.sh /
COPY 10-listen-on-ipv6-by-default.sh /docker-entrypoint.d
COPY 15-local-resolvers.envsh /docker-entrypoint.d
COPY 20-envsubst-on-templates.sh /docker-entrypoint.d
COPY 30-tune-worker-processes.sh /docker-entrypoint.d
ENTRYPOINT ["/docker-entrypoint.sh"]
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
D
bld nginx:1.22 $d zstd

if [ -z "$SMALL" ]; then
# --- redis:7 --------------------------------------------------------------------------------------------------------
d=$W/redis; mkdir -p $d; printf '#!/bin/sh\nset -e\nexec "$@"\n' > $d/docker-entrypoint.sh; chmod 755 $d/docker-entrypoint.sh
cat > $d/Dockerfile <<D
FROM localhost/debian:12-slim
RUN groupadd -r -g 999 redis && useradd -r -g redis -u 999 redis
RUN $APT redis-server tzdata gosu; $CLEAN
ENV REDIS_VERSION=7.0.15
RUN mkdir -p /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 6379
CMD ["redis-server"]
D
bld redis:7 $d

# --- python:3.11-slim, and python:3.11 with build dependencies and pip packages -----------------------------------
d=$W/python-slim; mkdir -p $d
cat > $d/Dockerfile <<D
FROM localhost/debian:12-slim
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
RUN $APT ca-certificates netbase tzdata; $CLEAN
ENV PYTHON_VERSION=3.11.2
RUN $APT python3 python3-venv python3-pip; $CLEAN
RUN set -eux; for s in idle3 pydoc3 python3; do ln -svf /usr/bin/\$s /usr/local/bin/\${s%3}; done
CMD ["python3"]
D
bld python:3.11-slim $d
d=$W/python; mkdir -p $d
printf 'from flask import Flask\napp = Flask(__name__)\n@app.get("/")\ndef i(): return "ok"\n' > $d/app.py
printf 'flask\nrequests\nsqlalchemy\ngunicorn\npydantic\njinja2\nnumpy\n' > $d/requirements.txt
cat > $d/Dockerfile <<D
FROM localhost/python:3.11-slim
RUN $APT gcc libc6-dev libpq-dev python3-dev git; $CLEAN
WORKDIR /app
COPY requirements.txt .
RUN pip install --break-system-packages --no-cache-dir -r requirements.txt
COPY app.py .
USER 1000:1000
EXPOSE 8000
LABEL org.opencontainers.image.title="flask app" org.opencontainers.image.version=1.0
HEALTHCHECK --interval=30s --timeout=3s CMD python3 -c "print(1)"
CMD ["gunicorn", "-b", "0.0.0.0:8000", "app:app"]
D
bld python:3.11 $d zstd

# --- postgres:15 ----------------------------------------------------------------------------------------------------
d=$W/postgres; mkdir -p $d; printf '#!/bin/sh\nset -e\nexec "$@"\n' > $d/docker-entrypoint.sh; chmod 755 $d/docker-entrypoint.sh
cat > $d/Dockerfile <<D
FROM localhost/debian:12-slim
RUN set -eux; groupadd -r postgres --gid=999; useradd -r -g postgres --uid=999 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres; install --verbose --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql
RUN $APT gnupg less; $CLEAN
RUN $APT locales libnss-wrapper xz-utils zstd gosu; $CLEAN; echo 'en_US.UTF-8 UTF-8' >> /etc/locale.gen; locale-gen
ENV LANG=en_US.utf8 PG_MAJOR=15 PGDATA=/var/lib/postgresql/data
RUN mkdir /docker-entrypoint-initdb.d
RUN $APT postgresql-common; sed -ri 's/#(create_main_cluster) .*\$/\1 = false/' /etc/postgresql-common/createcluster.conf; DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-15; $CLEAN
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin
RUN mkdir -p /var/lib/postgresql/data && chown -R postgres:postgres /var/lib/postgresql/data && chmod 1777 /var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
D
bld postgres:15 $d

# --- node:18 with express -------------------------------------------------------------------------------------------
d=$W/node; mkdir -p $d/app
( cd $d/app; [ -d node_modules ] || { npm init -y >/dev/null; npm install --silent --no-audit --no-fund --ignore-scripts express lodash axios; } )
cat > $d/Dockerfile <<D
FROM localhost/debian:12-slim
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node
ENV NODE_VERSION=18
RUN $APT nodejs npm; $CLEAN
WORKDIR /srv
COPY app /srv
CMD ["node"]
D
bld node:18 $d

# --- layers30:1: thirty small layers, some with whiteouts -------------------------------------------------------------
d=$W/layers30; mkdir -p $d; { echo 'FROM localhost/busybox:1'; for i in $(seq 1 29); do
  if [ $((i % 7)) = 0 ]; then echo "RUN rm -rf /data/$((i-1)) && echo $i > /data/last"; else
  echo "RUN mkdir -p /data/$i && for j in 1 2 3 4 5; do head -c 4096 /dev/urandom > /data/$i/\$j; done"; fi; done; echo 'CMD ["sh"]'; } > $d/Dockerfile
bld layers30:1 $d

# --- manyfiles:1: more than 50,000 small files in one layer -------------------------------------------------------------
d=$W/manyfiles; mkdir -p $d/app
( cd $d/app; [ -d node_modules ] || { npm init -y >/dev/null; npm install --silent --no-audit --no-fund --ignore-scripts @mui/icons-material@5.15.0 @mui/material@5.15.0 @emotion/react @emotion/styled react@18 react-dom@18 date-fns@2 lodash rxjs webpack typescript@5; } ; echo "manyfiles: $(find . | wc -l) entries" )
printf 'FROM localhost/node:18\nWORKDIR /app\nCOPY app /app\nCMD ["node", "-e", "0"]\n' > $d/Dockerfile
bld manyfiles:1 $d zstd

# --- large:1: a toolchain of about 1.3 GB; xlarge:1 adds two big layers (about 3 GB) -------------------------------------
d=$W/large; mkdir -p $d $W/xlarge
cat > $d/Dockerfile <<D
FROM localhost/debian:12-slim
RUN $APT build-essential git cmake; $CLEAN
RUN mkdir -p /usr/share/man/man1; $APT openjdk-17-jdk-headless; $CLEAN
D
cp $d/Dockerfile $W/xlarge/
printf '%s\n' "RUN $APT golang-1.19-go; $CLEAN" "RUN $APT clang-14 llvm-14-dev; $CLEAN" >> $W/xlarge/Dockerfile
for x in $d $W/xlarge; do printf 'ENV JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64\nWORKDIR /build\nCMD ["bash"]\n' >> $x/Dockerfile; done
bld large:1 $d zstd; bld xlarge:1 $W/xlarge zstd
fi

# --- push -----------------------------------------------------------------------------------------------------------
P="buildah $ST push --tls-verify=false"
for i in "${GZIP_IMAGES[@]}"; do
  $P --format v2s2 --compression-format gzip -q localhost/$i docker://$REG/library/$i; echo "pushed $i ($SECONDS s)"; done
for i in "${ZSTD_IMAGES[@]}"; do
  # A fresh blob cache (tmpfs), or the push uses the gzip blobs again that the registry has already.
  unshare -m sh -c "mkdir -p /var/lib/containers/cache; mount -t tmpfs t /var/lib/containers/cache; exec $P --format oci --compression-format zstd -q localhost/$i docker://$REG/library/$i-zstd" || echo "zstd push failed: $i"; done
for i in "${GZIP_IMAGES[@]}"; do
  skopeo copy -q --src-tls-verify=false docker://$REG/library/$i oci:$W/oci/${i%%:*}:${i##*:}; done
echo "corpus done in $SECONDS s"

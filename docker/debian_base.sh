#!/bin/sh
# Build an equivalent of `debian:<suite>-slim` from Debian packages, for hosts without an image registry: debootstrap a
# minimal tree, remove what the slim image leaves out, `docker import` it.
#
#   docker/debian_base.sh SUITE TAG [MIRROR]        needs root (debootstrap does), debootstrap and docker
set -eu
suite=$1
tag=$2
mirror=${3:-}

[ "$(id -u)" = 0 ] || { echo "debian_base.sh: debootstrap needs root; run: sudo $0 $*" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
    command -v apt-get >/dev/null || { echo "debian_base.sh: debootstrap is missing; install it with this system's package manager" >&2; exit 1; }
    echo "installing debootstrap"
    { apt-get install -y -q debootstrap || { apt-get update -q && apt-get install -y -q debootstrap; }; } >/dev/null
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# ca-certificates: for an https mirror, from the first apt-get on.
# shellcheck disable=SC2086  # unquoted, so that without a mirror debootstrap uses its default
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" $mirror

rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/* \
    "$root"/usr/share/locale/* "$root"/var/log/*.log
# The slim image's settings: no documentation or translations, no services started, no cache kept.
printf 'path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n' \
    > "$root/etc/dpkg/dpkg.cfg.d/docker"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
printf 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\nAcquire::Languages "none";\n' > "$root/etc/apt/apt.conf.d/docker-clean"

tar -C "$root" --numeric-owner -c . | docker import \
    --change 'CMD ["bash"]' --message "debootstrap $suite" - "$tag"

#!/bin/sh
# Install Rust 1.88 or later, as root in an image: Debian 13 has it in its backports (at the address of the suite's own list,
# in either format), Ubuntu 24.04 as a package with its version in the name.
set -eu
if grep -q '^ID=debian' /etc/os-release; then
    sed -i 's/^Suites: trixie trixie-updates$/& trixie-backports/' /etc/apt/sources.list.d/*.sources 2>/dev/null || true
    sed -n 's/^\(deb .*\) trixie main.*/\1 trixie-backports main/p' /etc/apt/sources.list > /etc/apt/sources.list.d/backports.list 2>/dev/null || true
    set -- -t trixie-backports rustc cargo
else
    set -- rustc-1.91 cargo-1.91
fi
apt-get update -q
apt-get install -y -q --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/*

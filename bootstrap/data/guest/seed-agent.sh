#!/bin/sh
# Runs at the first boot of a VM that is to become a template: makes sure that the QEMU guest agent is installed and
# runs, since it is how the VM's address and host key are told. Upgrades nothing.
set -eu
export DEBIAN_FRONTEND=noninteractive

if ! command -v qemu-ga >/dev/null 2>&1; then
    # A fresh image's first boot may still hold apt's lock.
    apt-get --quiet --option DPkg::Lock::Timeout=300 update
    apt-get --quiet --option DPkg::Lock::Timeout=300 install --yes --no-install-recommends qemu-guest-agent
fi
systemctl start qemu-guest-agent.service

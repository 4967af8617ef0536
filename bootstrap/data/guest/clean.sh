#!/bin/sh
# Takes out of a VM that is to become a template what must differ between machines, and what no machine needs. After it
# no login works until cloud-init has run again.
set -eu

# Each is made again: cloud-init makes new ones (keys, network, user), systemd the machine-id.
cloud-init clean --logs
rm -f /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init /etc/systemd/network/10-cloud-init-*.network
rm -f /etc/ssh/ssh_host_*
rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
rm -f /root/.bash_history /home/*/.bash_history
# Empty, not gone: systemd then makes one and keeps it (machine-id(5)).
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
# What packages make of themselves when they are installed. open-iscsi of Debian makes a name in place of this line, other
# distributions' iscsi-init.service and nvme-cli where there is no file. Two machines of one name lose each other's data.
if [ -f /etc/iscsi/initiatorname.iscsi ]; then
    if command -v apt-get >/dev/null 2>&1; then
        echo GenerateName=yes >/etc/iscsi/initiatorname.iscsi
    else
        rm -f /etc/iscsi/initiatorname.iscsi
    fi
fi
rm -f /etc/nvme/hostnqn /etc/nvme/hostid /etc/hostid
# The inventory's packages of one machine are not those of the next.
rm -rf /var/lib/homelab-k8s
# What a machine's secrets are made of: systemd-creds(1) encrypts with the first, and makes it where it is missing.
rm -f /var/lib/systemd/credential.secret /var/lib/NetworkManager/secret_key
rm -f /var/lib/systemd/random-seed /boot/efi/loader/random-seed /efi/loader/random-seed /boot/loader/random-seed
rm -f /var/lib/dhcp/*.leases /var/lib/NetworkManager/*.lease /var/lib/systemd/network/* 2>/dev/null || :
if command -v apt-get >/dev/null 2>&1; then
    apt-get clean
    rm -rf /var/lib/apt/lists/*
fi
rm -rf /var/log/journal/* /tmp/* /var/tmp/* 2>/dev/null || :
find /var/log -type f -exec truncate --size 0 {} +
# The scripts' own directory, which this one runs from.
rm -rf /root/.homelab-k8s /home/*/.homelab-k8s
if command -v fstrim >/dev/null 2>&1; then
    fstrim / >/dev/null 2>&1 || :
fi
sync
echo cleaned=1

#!/bin/bash
# What k3s's check-config and its first start want of a machine, tried in a guest; says what is missing, a line each.
# shellcheck disable=SC2317 # what `attempt` calls is reached
failed() { echo "missing: $*"; }
attempt() {
    name=$1
    shift
    "$@" >/dev/null 2>/tmp/said || failed "$name: $(cat /tmp/said)"
}
grouped() { # a cgroup of the controller can be made, entered and left
    local base
    if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
        base=/sys/fs/cgroup
        grep -qw "$1" "$base/cgroup.subtree_control" || echo "+$1" >"$base/cgroup.subtree_control" || return 1
    else
        base=$(awk -v wanted="$1" '$0 ~ / - cgroup / { n = split($NF, words, ",")
            for (i = 1; i <= n; i++) if (words[i] == wanted) print $5 }' /proc/self/mountinfo)
        [ -n "$base" ] || { echo "no hierarchy of it" >&2; return 1; }
    fi
    mkdir "$base/ground" || return 1
    if [ "$1" = cpuset ] && [ -e "$base/ground/cpuset.mems" ] && [ "$base" != /sys/fs/cgroup ]; then
        cat "$base/cpuset.cpus" >"$base/ground/cpuset.cpus" && cat "$base/cpuset.mems" >"$base/ground/cpuset.mems"
    fi
    sleep 60 &
    echo $! >"$base/ground/cgroup.procs" || return 1
    kill -9 $!
    wait $! 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$base/ground" 2>/dev/null && return 0; sleep 0.1; done
    rmdir "$base/ground"
}
layered() {
    mkdir -p "$1"/t/{lower,upper,work,root} || return 1
    mount -t overlay overlay -o "lowerdir=$1/t/lower,upperdir=$1/t/upper,workdir=$1/t/work" "$1/t/root" || return 1
    umount "$1/t/root" && rm -rf "$1/t"
}
kernel_setting() { # what kubelets do (setupKernelTunables); never to a setting that is the host's
    local before
    grep -q " /proc/sys/$1 " /proc/self/mountinfo || { echo "it is the host's" >&2; return 1; }
    before=$(cat "/proc/sys/$1") && echo "$2" >"/proc/sys/$1" && [ "$(cat "/proc/sys/$1")" = "$2" ] &&
        echo "$before" >"/proc/sys/$1" && echo "$2" >"/proc/sys/$1"
}

for controller in cpu cpuset memory pids; do attempt "cgroup $controller" grouped "$controller"; done
attempt "overlay under containerd" layered /var/lib/rancher/k3s/agent/containerd
attempt "a file system under the kubelet" layered /var/lib/kubelet
attempt "/dev/kmsg" test -c /dev/kmsg
attempt "/dev/kmsg to read" dd if=/dev/kmsg of=/dev/null count=1 iflag=nonblock
attempt "bridge-nf-call-iptables" sh -c 'echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables'
attempt "ip_forward" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
attempt "vxlan" ip link add ground0 type vxlan id 1 dstport 8472 dev eth0
attempt "bridge" ip link add ground1 type bridge
attempt "veth" ip link add ground2 type veth peer name ground3
attempt "network namespace" unshare --net true
attempt "iptables nat" iptables -w -t nat -A POSTROUTING -m comment --comment ground -j MASQUERADE
attempt "iptables conntrack" iptables -w -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
attempt "iptables statistic" iptables -w -A FORWARD -m statistic --mode random --probability 0.5 -j ACCEPT
for setting in vm/overcommit_memory=1 vm/panic_on_oom=1 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=999999 kernel/keys/root_maxbytes=24999999; do
    attempt "$setting" kernel_setting "${setting%=*}" "${setting#*=}"
done
[ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 512 ] || failed "inotify instances"
for setting in vm/swappiness kernel/pid_max fs/file-max; do
    value=$(cat "/proc/sys/$setting")
    ! { echo "$value" >"/proc/sys/$setting"; } 2>/dev/null || failed "a shield before $setting"
done
exit 0

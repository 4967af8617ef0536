"""Single values: what is taken, what is refused, and with which hint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.document import Scalar
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.scalars import Size
from bootstrap.inventory.values.string_formats import CLUSTER_NAME, POOL_NAME
from bootstrap.model.hardware import DataDisk, DiskOptions, Hardware
from bootstrap.model.ids import StorageName
from bootstrap.model.machine import Taint
from tests.unit.inventory.kit import Load, Told

FINGERPRINT = ":".join(["AB"] * 32)


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        # YAML 1.1's guesses
        ("cluster: no", "cluster", "YAML takes no for a boolean", 'quote it: "no"'),
        ("cluster:", "cluster", "has no value", "give a name"),
        ("ssh: {user: on}", "ssh.user", "YAML takes on for a boolean", 'quote it: "on"'),
        ("workers: {labels: {a: 1}}", "workers.labels.a", "YAML takes 1 for a number", 'quote it: "1"'),
        ("workers: {labels: {a: 1.10}}", "workers.labels.a", "YAML takes 1.10 for a number", 'quote it: "1.10"'),
        ("workers: {labels: {a: 2024-01-01}}", "workers.labels.a", "YAML takes 2024-01-01 for a timestamp", "quote it"),
        ("workers: {labels: {a: yes}}", "workers.labels.a", "YAML takes yes for a boolean", 'quote it: "yes"'),
        ("onboot: yes", "onboot", "must be true or false, not 'yes'", "write true, unquoted"),
        ("onboot: False", "onboot", "must be true or false, not 'False'", "write false, unquoted"),
        ('onboot: "true"', "onboot", "must be true or false, not 'true'", "write true, unquoted"),
        ("onboot: maybe", "onboot", "must be true or false, not 'maybe'", ""),
        ("workers: 010", "workers", "YAML reads 010 as octal", "without the leading zero"),
        ("workers: 1:30", "workers", "YAML reads 1:30 to the base 60", "a whole number"),
        ("workers: 0x10", "workers", "must be a whole number from 0 to 1000, not '0x10'", ""),
        ("workers: 1_000", "workers", "must be a whole number from 0 to 1000, not '1_000'", ""),
        ("workers: 3.0", "workers", "must be a whole number from 0 to 1000, not '3.0'", ""),
        ('workers: "3"', "workers", "must be a whole number from 0 to 1000, not text", "remove the quotes"),
        ("workers: -1", "workers", "must be a whole number from 0 to 1000, not -1", ""),
        (f"workers: {'9' * 5000}", "workers", "must be a whole number from 0 to 1000, not 999", ""),
        ("workers: [3]", "workers", "must be a mapping, not a list", "count, cores"),
        ("workers:", "workers", "has no value", "count, cores"),
        ("sizing: {cpu_overcommit: 0.5}", "sizing.cpu_overcommit", "must be a number from 1 to 64, not '0.5'", ""),
        ("sizing: {cpu_overcommit: .inf}", "sizing.cpu_overcommit", "must be a number from 1 to 64, not '.inf'", ""),
        # shapes
        ("network: {dns: 192.0.2.1}", "network.dns", "must be a list, not a single value", "write [192.0.2.1]"),
        ("network: {dns: [a]}", "network.dns[0]", "must be an IPv4 or IPv6 address, not 'a'", ""),
        ("network: {dns: [[1.2.3.4]]}", "network.dns[0]", "must be an IPv4 or IPv6 address, not a list", ""),
        ("k3s: {disable: [traefik, traefik]}", "k3s.disable[1]", "the item is there already", ""),
        ("pools: [gpu]", "pools", "must be a mapping, not a list", ""),
        ("pools: {gpu: 3}", "pools.gpu", "must be a mapping, not a single value", "count, cores"),
        ("clone: {full: true}", "clone", "must be one of linked, full, not a mapping", ""),
        # tags and notes of VMs
        ("tags: [Prod]", "tags[0]", "must be a Proxmox tag in lower case", "write prod"),
        ("tags: [a b]", "tags[0]", "must be a Proxmox tag in lower case", ""),
        ("tags: [-a]", "tags[0]", "must be a Proxmox tag in lower case", ""),
        ("workers: {tags: [homelab-k8s]}", "workers.tags[0]", "is a tag of homelab-k8s itself", "choose another one"),
        ("tags: [hk8s-0123]", "tags[0]", "is a tag of homelab-k8s itself", "choose another one"),
        ('notes: " "', "notes", "is blank", "omit it"),
        ('notes: "a\\nhomelab-k8s-record: {}"', "notes", "contains a line that marks the record", "remove it"),
        (f"notes: {'a' * 4097}", "notes", "must be a text of 1 to 4096 characters", ""),
        # unknown keys
        ("control-plane: {}", "control-plane", "is not a known key", "did you mean control_plane?"),
        ("netwrok: {}", "netwrok", "is not a known key", "did you mean network?"),
        ("bridge: vmbr0", "bridge", "is not a known key", "it belongs under network"),
        ("zzz: 1", "zzz", "is not a known key", "known: cluster, proxmox"),
        ("control_plane: {api_name: 192.0.2.1}", "control_plane.api_name", "must be a DNS name", "is `vip`"),
        ("control_plane: {api_name: '*.home.arpa'}", "control_plane.api_name", "must be a DNS name", ""),
        ("control_plane: {api_name: 'https://k8s.home'}", "control_plane.api_name", "must be a DNS name", ""),
        (f"control_plane: {{api_name: {'a.' * 130}b}}", "control_plane.api_name", "DNS allows 253", ""),
        # sizes
        ("workers: {memory: 4G}", "workers.memory", "must be a size", "write 4GiB"),
        ("workers: {memory: 4Gi}", "workers.memory", "must be a size", "write 4GiB"),
        ("workers: {memory: 4GB}", "workers.memory", "must be a size", "write 4GiB"),
        ("workers: {memory: 1.5G}", "workers.memory", "must be a size", "write 1536MiB"),
        ("workers: {memory: 4096}", "workers.memory", "must be a size", "the unit is missing: 4096GiB, or 4096MiB"),
        ("workers: {memory: 9k}", "workers.memory", "must be a size", "the smallest unit is MiB"),
        ("workers: {memory: lots}", "workers.memory", "must be a size such as 2GiB or 2048MiB, not 'lots'", ""),
        ("workers: {memory: 64MiB}", "workers.memory", "must be from 512MiB to", ""),
        ("workers: {disk: 1500MiB}", "workers.disk", "1500MiB is not a whole number of GiB", "write 2GiB"),
        # names
        ("cluster: My_Lab", "cluster", "must be a name of at most 32", "write my-lab"),
        (f"cluster: {'a' * 33}", "cluster", "must be a name of at most 32", ""),
        ("cluster: a-", "cluster", "must be a name of at most 32", "write a"),
        ("pools: {cp: {}}", "pools.cp", "'cp' is reserved for the control plane", "under control_plane"),
        ("pools: {control-plane: {}}", "pools.control-plane", "'control-plane' is reserved for", "under control_plane"),
        ("pools: {workers: {}}", "pools.workers", "the pool 'workers' has a key of its own", "workers:"),
        ("pools: {Gpu: {}}", "pools.Gpu", "must be a name of at most 20", "write gpu"),
        ("network: {bridge: vmbr0123456789012}", "network.bridge", "must be a bridge's name", ""),
        ("network: {bridge: 0br}", "network.bridge", "must be a bridge's name", ""),
        # labels and taints
        ("workers: {labels: {kubernetes.io/x: a}}", "workers.labels.kubernetes.io/x", "the kubelet rejects", "domain"),
        ("workers: {labels: {x.k8s.io/x: a}}", "workers.labels.x.k8s.io/x", "the kubelet rejects the label", "domain"),
        (
            "workers: {labels: {node-restriction.kubernetes.io/x: a}}",
            "workers.labels.node-restriction.kubernetes.io/x",
            "the kubelet rejects the label",
            "node-role.kubernetes.io/*",
        ),
        (
            "workers: {labels: {node-role.kubernetes.io/etcd: a}}",
            "workers.labels.node-role.kubernetes.io/etcd",
            "node-role.kubernetes.io/etcd is set by k3s itself",
            "remove it",
        ),
        ("workers: {labels: {a b: c}}", "workers.labels.a b", "must be a Kubernetes label key", ""),
        ("workers: {labels: {a: 'b c'}}", "workers.labels.a", "must be a Kubernetes label value", ""),
        ("workers: {taints: [gpu]}", "workers.taints[0]", "must be a taint such as", "gpu:NoSchedule"),
        ("workers: {taints: ['a=b:Never']}", "workers.taints[0]", "must be a taint such as", "PreferNoSchedule"),
        (
            "workers: {taints: ['a=b:NoSchedule', 'a=c:NoSchedule']}",
            "workers.taints[1]",
            "the taint's key with this effect is there already",
            "",
        ),
        # Proxmox
        ("proxmox: {endpoint: 'http://pve'}", "proxmox.endpoint", "must be an address such as", "https only"),
        ("proxmox: {endpoint: pve}", "proxmox.endpoint", "must be an address such as", "write https://pve"),
        ("proxmox: {endpoint: 'HTTPS://pve/'}", "proxmox.endpoint", "must be an", "write https://pve"),
        ("proxmox: {endpoint: '2001:db8::10'}", "proxmox.endpoint", "must be an", "write https://[2001:db8::10]"),
        ("proxmox: {endpoint: 'https://2001:db8::10/'}", "proxmox.endpoint", "must be", "write https://[2001:db8::10]"),
        ("proxmox: {endpoint: 'https://[::::]:8006'}", "proxmox.endpoint", "has no IPv6 address", "[2001:db8::10]"),
        ("proxmox: {endpoint: 'https://[fe80::1]:8006'}", "proxmox.endpoint", "is a link-local address", "IPv4"),
        ("proxmox: {endpoint: 'https://192.168.1.300'}", "proxmox.endpoint", "is no address", "192.168.1.10"),
        ("proxmox: {endpoint: 'https://root@pam@pve:8006'}", "proxmox.endpoint", "must be an", "before the @"),
        ("proxmox: {endpoint: 'https://proxy/pve'}", "proxmox.endpoint", "has a path, but no port", "proxy:443/pve"),
        ("proxmox: {endpoint: 'http://pve:8006/'}", "proxmox.endpoint", "must be an", "https only: write https://pve"),
        ("proxmox: {endpoint: 'https://pve:99999'}", "proxmox.endpoint", "has a port out of range", "8006"),
        ("proxmox: {vmids: 7000}", "proxmox.vmids", "must be two vmids, such as 7000-7999, not '7000'", ""),
        ("proxmox: {vmids: 99-200}", "proxmox.vmids", "'99-200' is outside Proxmox's range", "from 100"),
        ("proxmox: {vmids: 100-1000000000}", "proxmox.vmids", "is outside Proxmox's range", "to 999999999"),
        ("proxmox: {vmids: 300-200}", "proxmox.vmids", "'300-200' ends before it begins", "write 200-300"),
        ("proxmox: {tls: {fingerprint: 'AB:CD'}}", "proxmox.tls.fingerprint", "must be a SHA-256", "pvenode cert"),
        (f"proxmox: {{tls: {{fingerprint: '{'AB:' * 19}AB'}}}}", "proxmox.tls.fingerprint", "must be", "SHA-1"),
        (
            f"proxmox: {{tls: {{fingerprint: '{FINGERPRINT}', insecure: true}}}}",
            "proxmox.tls.insecure",
            "fingerprint and insecure exclude each other",
            "keep one",
        ),
        ("template: {name: a, vmid: 900}", "template.vmid", "name and vmid exclude each other", "keep one"),
        ("template: {name: a, image: b}", "template.image", "name and image exclude each other", "keep one"),
        (
            "template: {image: B_c}",
            "template.image",
            "must be an image's name (debian-13), an https address, or a volume (local:import/x.qcow2), not 'B_c'",
            "",
        ),
        (
            "template: {tag: a, build: auto}",
            "template.build",
            "an existing template cannot be built",
            "name an image instead, such as image: debian-13",
        ),
        ("template: 99", "template", "must be a whole number from 100 to 999999999, not 99", ""),
        ("template: a_b", "template", "must be a VM's name, not 'a_b'", ""),
        # network
        ("network: {vlan: 4095}", "network.vlan", "must be a whole number from 1 to 4094, not 4095", ""),
        ("network: {subnet: 192.0.2.5/24}", "network.subnet", "has host bits set", "write 192.0.2.0/24"),
        ("network: {subnet: 192.0.2.0/33}", "network.subnet", "is not an IPv4 network", "192.168.1.0/24"),
        ("network: {subnet: 'fd00::/64'}", "network.subnet", "must be an IPv4 network", ""),
        ("network: {dns: [192.0.2.256]}", "network.dns[0]", "is no IP address", "fd12"),
        ("network: {dns: ['fd00::g']}", "network.dns[0]", "must be an IPv4 or IPv6 address", ""),
        ("network: {dns: ['1::2::3']}", "network.dns[0]", "is no IP address", "fd12"),
        ("network: {dns: ['fe80::1']}", "network.dns[0]", "is a link-local address", "fd..."),
        # k3s
        ("k3s: {version: v1.33.3}", "k3s.version", "must be a k3s version vX.Y.Z+k3sN", "such as v1.33.3+k3s1"),
        ("k3s: {version: v1.33.3-k3s2}", "k3s.version", "must be a k3s version", "such as v1.33.3+k3s2"),
        ("k3s: {version: 1.33}", "k3s.version", "must be a k3s version", "use channel: v1.33"),
        ("k3s: {channel: 1.33}", "k3s.channel", "must be stable, latest, testing or vX.Y, not '1.33'", ""),
        ("k3s: {channel: v1.33.3+k3s1}", "k3s.channel", "must be", "use version: v1.33.3+k3s1"),
        ("k3s: {version: v1.33.3+k3s1, channel: stable}", "k3s.channel", "version and channel exclude", "keep one"),
        ("k3s: {disable: [traefic]}", "k3s.disable[0]", "must be one of traefik, servicelb", ""),
        ("k3s: {releases_url: 'ftp://x'}", "k3s.releases_url", "must be an http or https URL, not 'ftp://x'", ""),
        ("control_plane: {count: 2}", "control_plane.count", "must be an odd number from 1 to 7, not 2", "majority"),
        ("control_plane: {count: 9}", "control_plane.count", "must be an odd number from 1 to 7, not 9", ""),
    ],
)
def test_a_wrong_value_is_one_problem_with_its_hint(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(f"{text}\n")
    assert (problem.path, problem.line) == (path, 1)
    assert message in problem.message
    assert hint in problem.hint
    assert bool(hint) <= bool(problem.hint)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://pve", "https://pve:8006"),
        ("https://PVE.home.arpa:443/", "https://pve.home.arpa:443"),
        ("https://192.0.2.1", "https://192.0.2.1:8006"),
        ("https://pve:8006/api2/json/", "https://pve:8006"),
        ("https://pve/api2/json", "https://pve:8006"),
        ("https://pve:8006/#v1:0:=qemu%2F100:4:5::::::", "https://pve:8006"),
        ("https://pve:8006/?console=shell&node=pve#x", "https://pve:8006"),
        ("https://proxy.example.org:443/home/pve/", "https://proxy.example.org:443/home/pve"),
        ("https://proxy.example.org:443/pve/api2/json", "https://proxy.example.org:443/pve"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]:8006"),
        ("https://[fd00::1]:8007", "https://[fd00::1]:8007"),
    ],
)
def test_an_endpoint_is_brought_to_one_form(load: Load, text: str, url: str) -> None:
    assert load(f'proxmox: {{endpoint: "{text}"}}').endpoint.url == url


@pytest.mark.parametrize("text", [FINGERPRINT, FINGERPRINT.lower(), "ab" * 32, "12:" * 31 + "12"])
def test_a_fingerprint_is_brought_to_proxmox_s_form(load: Load, text: str) -> None:
    found = load(f"proxmox:\n  tls:\n    fingerprint: {text}\n").endpoint.tls.fingerprint
    assert found is not None
    assert found == found.upper()
    assert [len(pair) for pair in found.split(":")] == [2] * 32


@pytest.mark.parametrize(
    "key",
    [
        "example.com/a",
        "plain",
        "node.kubernetes.io/a",
        "x.node.kubernetes.io/a",
        "kubelet.kubernetes.io/a",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "node-role.kubernetes.io/worker",
        "notkubernetes.io/a",
    ],
)
def test_labels_that_the_kubelet_or_we_can_set_are_taken(load: Load, key: str) -> None:
    assert load(f'workers: {{labels: {{{key}: "true"}}}}').spec.workers[0].labels == ((key, "true"),)


@pytest.mark.parametrize(
    ("text", "taint"),
    [
        ("a=b:NoSchedule", Taint(key="a", value="b", effect="NoSchedule")),
        ("a=:NoExecute", Taint(key="a", effect="NoExecute")),
        ("x.io/a:PreferNoSchedule", Taint(key="x.io/a", effect="PreferNoSchedule")),
    ],
)
def test_taints_are_read_as_kubectl_writes_them(load: Load, text: str, taint: Taint) -> None:
    assert load(f'workers: {{taints: ["{text}"]}}').spec.workers[0].taints == (taint,)


@given(st.integers(1, 10**6), st.sampled_from(["MiB", "GiB", "TiB"]), st.sampled_from(["", " "]))
def test_sizes_are_exact(number: int, unit: str, space: str) -> None:
    kind = Size(minimum=0, maximum=10**15)
    value = kind.read(Scalar(text=f"{number}{space}{unit}"), Where(path="x"), Problems())
    assert value == number * {"MiB": 1, "GiB": 1024, "TiB": 1024**2}[unit]


@given(
    st.from_regex(CLUSTER_NAME.pattern, fullmatch=True),
    st.from_regex(POOL_NAME.pattern, fullmatch=True),
    st.integers(1, 1000),
)
def test_no_machine_name_is_longer_than_a_host_name_may_be(cluster: str, pool: str, number: int) -> None:
    assert len(f"{cluster}-{pool}-{number}") <= 63


@pytest.mark.parametrize(("text", "policy"), [("", "proxmox"), ("network: {macs: stable}", "stable")])
def test_proxmox_makes_mac_addresses_up_unless_the_inventory_says_otherwise(load: Load, text: str, policy: str) -> None:
    assert load(f"cluster: demo\n{text}").spec.network.macs == policy


def test_disks_and_devices_of_a_pool(load: Load) -> None:
    text = """
workers:
  disk_options: {discard: true, ssd: true, iothread: false, cache: writeback}
  data_disk: {size: 200GiB, storage: fast}
  devices: [{mapping: gpu0}, {mapping: nic1}]
pools: {small: {data_disk: 10GiB}}
"""
    spec = load(text).spec
    assert spec.control_plane.hardware == Hardware()
    assert spec.workers[0].hardware == Hardware(
        disk_options=DiskOptions(discard=True, ssd=True, iothread=False, cache="writeback"),
        data_disk=DataDisk(size_gib=200, storage=StorageName("fast")),
        mappings=("gpu0", "nic1"),
    )
    assert spec.workers[1].hardware.data_disk == DataDisk(size_gib=10)


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        (
            "devices: [{mapping: '01:00.0'}]",
            "devices[0].mapping",
            "name of a PCI resource mapping",
            "only root@pam",
        ),
        ("devices: [{mapping: '0000:01:00'}]", "devices[0].mapping", "PCI resource mapping", "Resource Mappings"),
        ("devices: [gpu0]", "devices[0]", "must be a mapping, not a single value", "mapping"),
        ("devices: [{}]", "devices[0]", "needs its mapping", "{mapping: gpu0}"),
        ("devices: [{mapping: g0}, {mapping: g0}]", "devices[1]", "the mapping is there already", ""),
        ("data_disk: {storage: fast}", "data_disk", "needs its size", "data_disk: 200GiB"),
        ("data_disk: 200", "data_disk", "must be a size", "GiB"),
        ("disk_options: {cache: fast}", "disk_options.cache", "must be one of none, writethrough", ""),
    ],
)
def test_disks_and_devices_that_cannot_be(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(f"workers: {{{text}}}")
    assert problem.path == f"workers.{path}"
    assert message in problem.message
    assert hint in problem.hint

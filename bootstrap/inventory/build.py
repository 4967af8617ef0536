"""Values without a problem left -> the cluster's specification and the endpoint."""

from __future__ import annotations

from bootstrap.inventory.checks.all import worker_pools
from bootstrap.inventory.files import Places
from bootstrap.inventory.keys import all as table
from bootstrap.inventory.keys import backup as table_backup
from bootstrap.inventory.keys import hardware as table_hardware
from bootstrap.inventory.keys import network as table_network
from bootstrap.inventory.keys import pools as table_pools
from bootstrap.inventory.values.containers import Field, Values
from bootstrap.model.cluster import (
    DEFAULT_IMAGE,
    BackupSpec,
    BuildPolicy,
    CloneMode,
    ClusterSpec,
    HostKeyPolicy,
    K3sSpec,
    MacPolicy,
    NetworkSpec,
    PlacementSpec,
    S3Spec,
    SizingSpec,
    SshSpec,
    StaticAddresses,
    StorageNetwork,
    TemplateRef,
    VipSpec,
)
from bootstrap.model.endpoint import ApiToken, PveEndpoint, TlsSpec
from bootstrap.model.hardware import DataDisk, DiskOptions, Hardware
from bootstrap.model.ids import ClusterName, PoolName, Vmid
from bootstrap.model.ipv6 import IPv6Method, IPv6Spec, StaticAddresses6
from bootstrap.model.machine import CONTROL_PLANE_POOL, MachineKind, NodePool, PoolNetwork, Role


def build_spec(root: Values, places: Places) -> ClusterSpec:
    """The cluster a complete and correct inventory describes."""
    return ClusterSpec(
        name=root.sure(table.CLUSTER),
        template=_template(root),
        control_plane=_pool(
            CONTROL_PLANE_POOL, Role.CONTROL_PLANE, root.sure(table.CONTROL_PLANE), table_pools.SERVERS
        ),
        workers=tuple(_pool(name, Role.WORKER, values, table_pools.COUNT) for name, values in worker_pools(root) or ()),
        clone=CloneMode(root.sure(table.CLONE)),
        onboot=root.sure(table.ONBOOT),
        labels_from_proxmox=root.sure(table.LABELS_FROM_PROXMOX),
        network=_network(root.sure(table_network.NETWORK)),
        ssh=_ssh(root.sure(table.SSH), places),
        k3s=_k3s(root.sure(table.K3S), places),
        sizing=_sizing(root.sure(table.SIZING)),
        placement=_placement(root.sure(table.PROXMOX)),
        vip=_vip(root.sure(table.CONTROL_PLANE)),
        api_name=root.sure(table.CONTROL_PLANE).get(table_pools.API_NAME),
        backup=_backup(root.sure(table_backup.BACKUP), places, root.sure(table.CLUSTER)),
    )


def build_endpoint(proxmox: Values, token: ApiToken, places: Places) -> PveEndpoint:
    """How the API is reached."""
    tls = proxmox.sure(table.TLS)
    ca_file = tls.get(table.CA_FILE)
    return PveEndpoint(
        url=proxmox.sure(table.ENDPOINT),
        token=token,
        tls=TlsSpec(
            fingerprint=tls.get(table.FINGERPRINT),
            ca_file=places.resolve(ca_file) if ca_file is not None else None,
            insecure=tls.sure(table.INSECURE),
        ),
    )


def _template(root: Values) -> TemplateRef:
    template = root.sure(table.TEMPLATE)
    build = BuildPolicy(template.sure(table.TEMPLATE_BUILD))
    name, tag = template.get(table.TEMPLATE_NAME), template.get(table.TEMPLATE_TAG)
    vmid, image = template.get(table.TEMPLATE_VMID), template.get(table.TEMPLATE_IMAGE)
    if name is None and tag is None and vmid is None and image is None:
        return TemplateRef(tag=table.DEFAULT_TEMPLATE_TAG, image=DEFAULT_IMAGE, build=build)
    return TemplateRef(
        name=name,
        tag=tag,
        vmid=Vmid(vmid) if vmid is not None else None,
        image=image,
        checksum=template.get(table.TEMPLATE_CHECKSUM) or "",
        build=build,
    )


def _pool(name: PoolName, role: Role, values: Values, count: Field[int]) -> NodePool:
    sizes = {"count": count, "cores": table_pools.CORES, "memory_mib": table_pools.MEMORY, "disk_gib": table_pools.DISK}
    return NodePool(
        name=name,
        role=role,
        count=values.sure(count),
        cores=values.sure(table_pools.CORES),
        memory_mib=values.sure(table_pools.MEMORY),
        disk_gib=values.sure(table_pools.DISK),
        cpu_type=values.get(table_pools.CPU),
        labels=tuple(sorted(values.get(table_pools.LABELS) or ())),
        taints=tuple(sorted(values.get(table_pools.TAINTS) or ())),
        pve_nodes=values.get(table_pools.POOL_PVE_NODES) or (),
        storage=values.get(table_pools.POOL_STORAGE),
        hardware=_hardware(values),
        network=_pool_network(values.sure(table_network.POOL_NETWORK)),
        kind=MachineKind(values.sure(table_pools.MACHINE)),
        ostemplate=values.get(table_pools.OSTEMPLATE),
        stated=frozenset(name for name, field in sizes.items() if values.given(field)),
    )


def _pool_network(values: Values) -> PoolNetwork:
    return PoolNetwork(bridge=values.get(table_network.POOL_BRIDGE), vlan=values.get(table_network.POOL_VLAN))


def _hardware(values: Values) -> Hardware:
    options = values.sure(table_hardware.DISK_OPTIONS)
    data = values.get(table_hardware.DATA_DISK) if values.given(table_hardware.DATA_DISK) else None
    return Hardware(
        disk_options=DiskOptions(
            discard=options.get(table_hardware.DISCARD),
            ssd=options.get(table_hardware.SSD),
            iothread=options.get(table_hardware.IOTHREAD),
            cache=options.get(table_hardware.CACHE),
        ),
        data_disk=DataDisk(size_gib=data.sure(table_hardware.DATA_SIZE), storage=data.get(table_hardware.DATA_STORAGE))
        if data is not None
        else None,
        mappings=tuple(device.sure(table_hardware.MAPPING) for device in values.get(table_hardware.DEVICES) or ()),
    )


def _vip(control_plane: Values) -> VipSpec | None:
    vip = control_plane.get(table_pools.VIP) if control_plane.given(table_pools.VIP) else None
    if vip is None:
        return None
    return VipSpec(address=vip.sure(table_pools.VIP_ADDRESS), router_id=vip.get(table_pools.VIP_ROUTER_ID))


def _network(values: Values) -> NetworkSpec:
    addresses, subnet = values.get(table_network.ADDRESSES), values.get(table_network.SUBNET)
    static = None
    if addresses is not None and subnet is not None:
        static = StaticAddresses(
            first=addresses.first, last=addresses.last, subnet=subnet, gateway=values.get(table_network.GATEWAY)
        )
    return NetworkSpec(
        bridge=values.get(table_network.BRIDGE),
        vlan=values.get(table_network.VLAN),
        addresses=static,
        subnet=subnet,
        dns=values.get(table_network.DNS) or (),
        search=values.get(table_network.SEARCH),
        macs=MacPolicy(values.sure(table_network.MACS)),
        mtu=values.get(table_network.MTU),
        storage=_storage_network(values.get(table_network.STORAGE_NETWORK))
        if values.given(table_network.STORAGE_NETWORK)
        else None,
        ipv6=_ipv6(values.get(table_network.IPV6)) if values.given(table_network.IPV6) else None,
    )


def _ipv6(values: Values | None) -> IPv6Spec | None:
    if values is None:
        return None
    addresses, subnet = values.get(table_network.IPV6_ADDRESSES), values.get(table_network.IPV6_SUBNET)
    static = None
    if addresses is not None and subnet is not None:
        static = StaticAddresses6(
            first=addresses.first, last=addresses.last, subnet=subnet, gateway=values.get(table_network.IPV6_GATEWAY)
        )
    return IPv6Spec(method=IPv6Method(values.sure(table_network.IPV6_METHOD)), subnet=subnet, addresses=static)


def _storage_network(values: Values | None) -> StorageNetwork | None:
    if values is None:
        return None
    addresses, subnet = values.get(table_network.STORAGE_ADDRESSES), values.get(table_network.STORAGE_SUBNET)
    static = None
    if addresses is not None and subnet is not None:
        static = StaticAddresses(first=addresses.first, last=addresses.last, subnet=subnet)
    return StorageNetwork(
        bridge=values.sure(table_network.STORAGE_BRIDGE),
        vlan=values.get(table_network.VLAN),
        mtu=values.get(table_network.STORAGE_MTU),
        addresses=static,
    )


def _ssh(values: Values, places: Places) -> SshSpec:
    key = values.get(table.PRIVATE_KEY)
    return SshSpec(
        user=values.sure(table.SSH_USER),
        port=values.sure(table.SSH_PORT),
        private_key=places.resolve(key) if key is not None else None,
        host_keys=HostKeyPolicy(values.sure(table.HOST_KEYS)),
    )


def _k3s(values: Values, places: Places) -> K3sSpec:
    artifacts = values.get(table.ARTIFACTS)
    pods, services = values.get(table.CLUSTER_CIDR), values.get(table.SERVICE_CIDR)
    return K3sSpec(
        version=values.get(table.VERSION),
        channel=values.sure(table.CHANNEL),
        artifacts=places.resolve(artifacts) if artifacts is not None else None,
        releases_url=values.sure(table.RELEASES_URL),
        channels_url=values.sure(table.CHANNELS_URL),
        tls_san=values.get(table.TLS_SAN) or (),
        disable=values.get(table.DISABLE) or (),
        cluster_cidr=pods.v4 if pods is not None else None,
        service_cidr=services.v4 if services is not None else None,
        cluster_cidr6=pods.v6 if pods is not None else None,
        service_cidr6=services.v6 if services is not None else None,
    )


def _sizing(values: Values) -> SizingSpec:
    return SizingSpec(
        cpu_overcommit=values.sure(table.CPU_OVERCOMMIT),
        memory_reserve_mib=values.sure(table.MEMORY_RESERVE),
        storage_reserve_gib=values.sure(table.STORAGE_RESERVE),
    )


def _placement(values: Values) -> PlacementSpec:
    nodes = [
        (
            node.sure(table.PVE_NODE_NAME),
            node.sure(table.PVE_NODE_WEIGHT),
            node.sure(table.PVE_NODE_MAINTENANCE),
        )
        for node in values.get(table.PVE_NODES) or ()
    ]
    return PlacementSpec(
        pve_nodes=tuple(name for name, _, maintenance in nodes if not maintenance),
        weights=tuple((name, weight) for name, weight, _ in nodes if weight != 1),
        maintenance=tuple(name for name, _, maintenance in nodes if maintenance),
        storage=values.get(table.STORAGE),
        resource_pool=values.get(table.RESOURCE_POOL),
        vmids=values.sure(table.VMIDS),
    )


def _backup(values: Values, places: Places, cluster: ClusterName) -> BackupSpec:
    s3 = values.get(table_backup.S3) if values.given(table_backup.S3) else None
    return BackupSpec(
        schedule=values.get(table_backup.SCHEDULE),
        retention=values.get(table_backup.RETENTION),
        on_demand_retention=values.get(table_backup.ON_DEMAND_RETENTION),
        s3=_s3(s3, places, cluster) if s3 is not None else None,
    )


def _s3(values: Values, places: Places, cluster: ClusterName) -> S3Spec:
    folder = values.get(table_backup.FOLDER)
    return S3Spec(
        endpoint=values.sure(table_backup.ENDPOINT),
        bucket=values.sure(table_backup.BUCKET),
        region=values.sure(table_backup.REGION),
        folder=cluster if folder is None else folder,
        retention=values.get(table_backup.S3_RETENTION),
        # Empty where they are not set: only who makes servers or snapshots needs them, and says so.
        access_key=places.environ.get(values.sure(table_backup.ACCESS_KEY_ENV), ""),
        secret_key=places.environ.get(values.sure(table_backup.SECRET_KEY_ENV), ""),
        insecure=values.sure(table_backup.INSECURE),
        skip_verify=values.sure(table_backup.SKIP_VERIFY),
    )

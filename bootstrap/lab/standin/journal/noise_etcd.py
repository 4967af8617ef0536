"""What etcd writes while it starts: JSON, most of it."""

from __future__ import annotations

from .noise import lines_of

FIRST = lines_of("""
=info Managed etcd cluster not yet initialized
=info Opening etcd client connection with endpoints []
=info Reconciling bootstrap data between datastore and disk
""")

STARTING = [
    *lines_of("""
    =info start
    =info schedule, entry=1
    {info embed/etcd.go:132 configuring socket options
    {info embed/etcd.go:138 configuring peer listeners
    {info embed/etcd.go:544 starting with peer TLS
    {info embed/etcd.go:146 configuring client listeners
    {info embed/etcd.go:323 starting an etcd server
    {info backend/backend.go:203 Opening db file with mode -rw-------
    {info bbolt/db.go:322 Opening bbolt db successfully
    {info storage/backend.go:80 opened backend db
    {info etcdserver/bootstrap.go:260 Skipping defragmentation
    {info etcdserver/bootstrap.go:220 restore consistentIndex
    {info etcdserver/bootstrap.go:94 bootstrapping cluster
    =error Sending HTTP/1.1 503 response to 127.0.0.1:60306: runtime core not ready
    {info netutil/netutil.go:113 resolved URL Host
    {info etcdserver/bootstrap.go:101 bootstrapping storage
    {info etcdserver/bootstrap.go:109 bootstrapping raft
    {info etcdserver/bootstrap.go:499 starting local member
    {info etcdserver/server.go:312 bootstrap successfully
    {info v3/raft.go:1981 <member> switched to configuration voters=()
    {info v3/raft.go:897 <member> became follower at term 0
    {info v3/raft.go:493 newRaft <member> [peers: [], term: 0, commit: 0, applied: 0, lastindex: 0]
    {warn auth/store.go:1137 simple token is not cryptographically signed
    {info mvcc/kvstore.go:408 kvstore restored
    {info storage/quota.go:93 enabled backend quota with default value
    {info etcdserver/server.go:598 starting etcd server
    {info embed/etcd.go:766 starting with client TLS
    {info embed/etcd.go:292 now serving peer/client/metrics
    {info etcdserver/server.go:499 starting initial election tick advance
    """),
    *(f"{{info fileutil/purge.go:49 started to purge file of suffix {suffix}" for suffix in ("snap.db", "snap", "wal")),
    *lines_of("""
    {info embed/etcd.go:640 serving peer traffic
    {info embed/etcd.go:611 cmux::serve
    {warn v3/retry_interceptor.go:68 unary invoker failed: dial tcp 127.0.0.1:2379: connect: connection refused
    {warn v3/retry_interceptor.go:68 unary invoker failed: dial tcp 127.0.0.1:2379: connect: connection refused
    """),
]

_STREAMS = ("stream Message", "stream MsgApp v2")
PEER = [
    "{info rafthttp/peer.go:133 starting remote peer <peer>",
    "{info rafthttp/pipeline.go:72 started HTTP pipelining with remote peer <peer>",
    "{info rafthttp/peer.go:137 started remote peer <peer>",
    "{info rafthttp/transport.go:317 added remote peer <peer>",
    *(f"{{info rafthttp/stream.go:{line} {what} ({stream})" for line, what in (
        (168, "started stream writer with remote peer <peer>"), (394, "started stream reader with remote peer <peer>"),
        (248, "set message encoder to <peer>"), (273, "established TCP streaming connection with remote peer <peer>"),
        (411, "established TCP streaming connection with remote peer <peer>")) for stream in _STREAMS),
    "{info rafthttp/peer_status.go:53 peer became active: <peer>",
    *(f"{{warn rafthttp/stream.go:420 lost TCP streaming connection with remote peer <peer> ({s})" for s in _STREAMS),
    "{warn rafthttp/peer_status.go:66 peer became inactive (message send to peer failed): <peer>",
    *(f"{{info rafthttp/stream.go:411 established TCP streaming connection with remote peer <peer> ({s})"
      for s in _STREAMS),
    "{info rafthttp/peer_status.go:53 peer became active: <peer>",
]  # fmt: skip
"""Of each other member."""

APPLYING = [
    f"{{info etcdserver/server.go:1784 applied a configuration change through raft at index {index}"
    for index in range(120)
]
"""A member that joins applies what was before it."""

JOINED = [
    "=error Failed to check local etcd status for learner management: context deadline exceeded",
    "{warn etcdserver/server.go:1846 failed to publish local member to cluster through raft",
    "{info etcdserver/server.go:1836 published local member to cluster through raft",
    *["{info embed/serve.go:139 ready to serve client requests"] * 3,
    *["{info v3rpc/health.go:63 grpc service status changed"] * 2,
    *(f"{{info embed/serve.go:294 serving client traffic securely on {at}"
      for at in ("127.0.0.1:2382", "127.0.0.1:2379", "<address>:2379")),
    "=info Connected to etcd v3.6.14 - datastore using 1060864 of 1064960 bytes",
    "=warning Bootstrap key already exists",
    *["{warn v3/retry_interceptor.go:68 retrying of unary invoker failed: context canceled",
      "E watcher.go:369 failed to sync with latest state: context canceled"] * 2,
]  # fmt: skip

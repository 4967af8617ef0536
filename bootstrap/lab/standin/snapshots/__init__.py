"""Snapshots of etcd, on disks and in buckets."""

"""Results for programs: plain JSON values, the same for `-o json` and `-o yaml`."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bootstrap.errors import HomelabError
from bootstrap.events import Event, LanesAdded, RunFinished, RunStarted
from bootstrap.model.visible import visible, visible_json, visible_yaml

if TYPE_CHECKING:
    from bootstrap.commands.reports.doctor import Diagnosis
    from bootstrap.commands.reports.status_values import ClusterStatus, MachineStatus
    from bootstrap.execution.report import Report
    from bootstrap.planning.plan import Plan

Document = dict[str, Any]


class Output(StrEnum):
    """The form of a result."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def render(document: Document, output: Output) -> str:
    """The document as text, without a final newline."""
    if output is Output.YAML:
        return visible_yaml(_yaml(document)).rstrip("\n")
    return visible_json(json.dumps(document, indent=2, ensure_ascii=False))


def _yaml(document: Document) -> str:
    """As YAML; texts with unprintable characters are double-quoted, since only there escapes work."""
    import yaml  # only here, since it is slow to import

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        odd = visible(value) != value
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if odd else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True))


def plan_document(plan: Plan) -> Document:
    """A plan: machines, lanes with their steps and gates, notes."""
    return {
        "command": plan.command,
        "cluster": plan.cluster,
        "machines": [
            {
                "name": machine.spec.name,
                "role": str(machine.spec.role),
                "pool": machine.spec.pool,
                "machine": str(machine.spec.kind),
                "cores": machine.spec.cores,
                "memory_mib": machine.spec.memory_mib,
                "disk_gib": machine.spec.disk_gib,
                "mac": machine.spec.mac,
                "address": str(machine.spec.address) if machine.spec.address else None,
                "pve_node": machine.place.pve_node,
                "vmid": machine.place.vmid,
                "action": machine.action.value,
                "reason": machine.reason,
            }
            for machine in plan.machines
        ],
        "lanes": [
            {
                "name": lane.name,
                "steps": [
                    {
                        "title": step.step.title,
                        "phase": step.step.phase,
                        "needs": [str(gate) for gate in step.needs],
                        "opens": [str(gate) for gate in step.opens],
                    }
                    for step in lane.steps
                ],
            }
            for lane in plan.lanes
        ],
        "notes": list(plan.notes),
    }


def status_document(status: ClusterStatus) -> Document:
    """A cluster's status; `format` grows when a key changes its meaning or goes."""
    from bootstrap.commands.reports.status_values import STATUS_FORMAT

    return {
        "format": STATUS_FORMAT,
        "cluster": status.cluster,
        "machines": [machine_document(machine) for machine in status.machines],
        "problems": list(status.problems),
        "notices": list(status.notices),
        **_cluster_facts(status),
    }


def _cluster_facts(status: ClusterStatus) -> Document:
    """Facts about the whole cluster; null if unknown, or if there is none."""
    vip, certificate, snapshots = status.vip, status.certificate, status.snapshots
    newest = snapshots.newest if snapshots else None
    return {
        "datastore": _picked(status.datastore, "kind", "members", "ready", "quorum") if status.datastore else None,
        "vip": {"address": str(vip.address), "holder": vip.holder} if vip else None,
        "certificate": {"machine": certificate.machine, "days_left": round(certificate.days_left, 1)}
        if certificate
        else None,
        "snapshots": {
            "count": snapshots.count,
            "newest": newest.name if newest else None,
            "age_s": round(snapshots.age_s) if snapshots.age_s is not None else None,
        }
        if snapshots
        else None,
        "worker_token": str(status.worker_token.value) if status.worker_token else None,
        "at_work": status.at_work or None,
        "maintenance": dict(status.maintenance),
    }


def machine_document(machine: MachineStatus) -> Document:
    """A machine with its VM and its Kubernetes node; unknown values are null."""
    return {
        "name": machine.name,
        "role": str(machine.role),
        "pool": machine.pool,
        "machine": str(machine.kind),
        "pve_node": machine.pve_node,
        "vmid": machine.vmid,
        "address": str(machine.address) if machine.address else None,
        "vm": machine.vm,
        "ready": machine.ready,
        "stale": machine.stale,
        "k3s_version": machine.k3s_version or None,
        "cores": machine.cores or None,
        "memory_mib": machine.memory_mib or None,
        "disk_gib": machine.disk_gib or None,
        "wanted": _picked(machine.wanted, "cores", "memory_mib", "disk_gib", "cpu_type") if machine.wanted else None,
        "differs": list(machine.differs),
        "cordoned": machine.cordoned,
        "leaving": machine.leaving,
        "holds_vip": machine.holds_vip,
        "os_image": machine.os_image or None,
    }


def doctor_document(diagnosis: Diagnosis) -> Document:
    """What `doctor` found; `format` grows when a key changes its meaning or goes."""
    from bootstrap.commands.reports.doctor import DOCTOR_FORMAT

    return {
        "format": DOCTOR_FORMAT,
        "cluster": diagnosis.cluster,
        "verdict": str(diagnosis.verdict),
        "checks": [
            {
                "name": check.name,
                "verdict": str(check.verdict),
                "says": check.says,
                "remedy": check.remedy or None,
                "facts": dict(check.facts),
            }
            for check in diagnosis.checks
        ],
    }


def result_document(cluster: str, report: Report | None, **facts: object) -> Document:
    """The result of a command that changes something, with its own facts; without a report there was nothing to do."""
    return {
        "cluster": cluster,
        "changed": report is not None and any(step.changed for step in report.steps),
        **facts,
        "took_s": round(report.took_s, 3) if report else 0.0,
        "phases": {name: round(took_s, 3) for name, took_s in report.phases} if report else {},
    }


def event_document(event: Event) -> Document:
    """An event: its name in snake case and its fields."""
    name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(event).__name__)
    document = {"event": name.lstrip("_"), **_fields(event)}
    match event:
        case RunStarted() | LanesAdded():
            document["lanes"] = [{"name": lane, "steps": steps} for lane, steps in event.lanes]
        case RunFinished():
            document["phases"] = {phase: round(took_s, 3) for phase, took_s in event.phases}
            longest = event.longest_lane
            document["longest_lane"] = {"name": longest[0], "busy_s": round(longest[1], 3)} if longest else None
    return document


def error_document(error: HomelabError, *, log: str | None) -> Document:
    """An error with all its texts."""
    return {"event": "error", **_error(error), "exit_code": error.exit_code, "log": log}


def _fields(value: object) -> Document:
    assert is_dataclass(value)  # noqa: S101 - for the type checker: every event is one
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: object) -> object:
    if isinstance(value, HomelabError):
        return _error(value)
    return round(value, 3) if isinstance(value, float) else value


def _error(error: HomelabError) -> Document:
    return {"kind": type(error).__name__, **_picked(error, "brief", "details", "resolution")}


def _picked(value: object, *names: str) -> Document:
    return {name: getattr(value, name) for name in names}

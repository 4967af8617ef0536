"""`ssh.jump` and its host key: what is taken, what is refused, and with which hint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.inventory.document import Scalar
from bootstrap.inventory.values.reach_formats import JUMP_HOST
from bootstrap.model.access.endpoint import JumpHost
from tests.unit.inventory.kit import Load, Told

KEY = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDgWpVyZjFkPZRTtBA"


@pytest.mark.parametrize(
    ("text", "jump"),
    [
        ("root@pve.example.org", JumpHost(user="root", host="pve.example.org")),
        ("me@192.168.1.10:2222", JumpHost(user="me", host="192.168.1.10", port=2222)),
        ("me@[2001:db8::1]", JumpHost(user="me", host="2001:db8::1")),
        ("me.two@[2001:db8::1]:23", JumpHost(user="me.two", host="2001:db8::1", port=23)),
        ("me@bastion", JumpHost(user="me", host="bastion")),
    ],
)
def test_a_jump_host_is_user_host_and_port(load: Load, text: str, jump: JumpHost) -> None:
    assert load(f'ssh: {{jump: "{text}", jump_host_key: "{KEY}"}}').spec.ssh.jump == jump
    assert load(f'ssh: {{jump: "{text}"}}').spec.ssh.jump_host_key is None
    assert str(jump) == text


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("ssh: {jump: bastion}", "ssh.jump", "must be a jump host as user@host", "with the user: root@bastion"),
        ("ssh: {jump: 'ssh://me@b/'}", "ssh.jump", "must be a jump host", "write me@b"),
        ("ssh: {jump: 'me@a,me@b'}", "ssh.jump", "must be a jump host", "use a ProxyJump in ~/.ssh/config"),
        ("ssh: {jump: 'me@2001:db8::1'}", "ssh.jump", "must be a jump host", "me@[2001:db8::1]"),
        ("ssh: {jump: 'me@[1:2:3]'}", "ssh.jump", "has no valid address", "root@192.168.1.10"),
        ("ssh: {jump: 'me@300.1.1.1'}", "ssh.jump", "has no valid address", ""),
        ("ssh: {jump: 'me@b:70000'}", "ssh.jump", "has a port out of range", "22"),
        ("ssh: {jump: '-oProxyCommand=x@b'}", "ssh.jump", "must be a jump host", ""),
        ("ssh: {jump: 'me@-oProxyCommand=x'}", "ssh.jump", "must be a jump host", ""),
        ("ssh: {jump: me@b, jump_host_key: ssh-ed25519 AAAA}", "ssh.jump_host_key", "fingerprint", "ssh-keygen -lf"),
        ("ssh: {jump: me@b, jump_host_key: 'MD5:aa'}", "ssh.jump_host_key", "fingerprint", "on the jump host"),
        (f"ssh: {{jump_host_key: '{KEY}'}}", "ssh.jump_host_key", "none is set", "set ssh.jump, too"),
    ],
)
def test_what_is_none_is_refused_with_a_hint(told: Told, text: str, path: str, message: str, hint: str) -> None:
    problem = told(text)[0]
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint


@given(
    user=st.from_regex(r"[a-z_][a-z0-9_.-]{0,10}", fullmatch=True),
    host=st.one_of(st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True), st.ip_addresses().map(str)),
    port=st.integers(1, 65535),
)
def test_what_is_shown_is_read_again(user: str, host: str, port: int) -> None:
    jump = JumpHost(user=user, host=host, port=port)
    assert JUMP_HOST.convert(Scalar(text=str(jump))) == jump

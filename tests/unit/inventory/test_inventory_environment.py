"""`k3s.environment` and `k3s.proxy`: names and values that may be there, and secrets from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.k3s.environment import unit_environment
from tests.unit.inventory.kit import ENVIRON, Load, Told

PASSWORD = "tr0ub4dor%40and-3"
PROXY = f"http://me:{PASSWORD}@proxy.home.arpa:3128"
WITH_PROXY = {**ENVIRON, "HOME_PROXY": PROXY}
HEAD = "cluster: demo\nk3s:\n"


def variables(load: Load, k3s: str) -> dict[str, str]:
    return unit_environment(load(HEAD + k3s, environ=WITH_PROXY).spec)


def test_a_proxy_is_short_for_both_variables(load: Load) -> None:
    short = variables(load, "  proxy: http://proxy.home.arpa:3128\n")
    both = "{HTTP_PROXY: 'http://proxy.home.arpa:3128', HTTPS_PROXY: 'http://proxy.home.arpa:3128'}"
    assert short == variables(load, f"  environment: {both}\n")
    assert short["HTTPS_PROXY"] == "http://proxy.home.arpa:3128"
    assert "10.42.0.0/16" in short["NO_PROXY"]


def test_what_no_proxy_is_for_is_extended_beside_it(load: Load) -> None:
    found = variables(load, "  proxy: socks5://10.0.0.1:1080\n  environment: {NO_PROXY: .example.net}\n")
    assert found["NO_PROXY"].endswith(".internal,.example.net")


def test_values_are_texts_whatever_yaml_takes_them_for(load: Load) -> None:
    found = variables(load, "  environment: {GOGC: 50, A: true, B: 1.50, c_d: 'x y=\"$z\"'}\n")
    assert [found[name] for name in ("GOGC", "A", "B", "c_d")] == ["50", "true", "1.50", 'x y="$z"']


@pytest.mark.parametrize("written", ["{env: HOME_PROXY}", "{file: %s/proxy}"])
def test_a_proxy_with_a_password_comes_from_elsewhere(load: Load, tmp_path: Path, written: str) -> None:
    (tmp_path / "proxy").write_text(f"{PROXY}\n")
    where = written.replace("%s", str(tmp_path))
    for k3s in (f"  proxy: {where}\n", f"  environment: {{CONTAINERD_HTTPS_PROXY: {where}}}\n"):
        spec = load(HEAD + k3s, environ=WITH_PROXY).spec
        assert PROXY in unit_environment(spec).values()
        assert set(spec.k3s.environment.secrets) == {PROXY, PASSWORD, "tr0ub4dor@and-3"}
        assert "tr0ub4dor" not in repr(spec)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("LD_PRELOAD", "is refused", "dynamic linker"),
        ("CONTAINERD_LD_LIBRARY_PATH", "is refused", "dynamic linker"),
        ("PATH", "is refused", "systemd and k3s"),
        ("NOTIFY_SOCKET", "is refused", "systemd sets it"),
        ("K3S_TOKEN", "is one of k3s's own settings", "makes the tokens"),
        ("K3S_DATA_DIR", "is one of k3s's own settings", "relies on k3s's default"),
        ("K3S_DEBUG", "is one of k3s's own settings", "use debug in k3s.server_config"),
        ("K3S_KUBECONFIG_MODE", "is one of k3s's own settings", "use write-kubeconfig-mode"),
        ("K3S_HOMELAB_K8S_ENVIRONMENT", "is one of k3s's own settings", "homelab-k8s uses them"),
        ("AWS_SECRET_ACCESS_KEY", "is refused", "use backup.s3"),
        ("ALL_PROXY", "is refused", "use HTTP_PROXY and HTTPS_PROXY"),
        ("https_proxy", "lower case", "write HTTPS_PROXY"),
        ("CONTAINERD_no_proxy", "lower case", "write CONTAINERD_NO_PROXY"),
        ("A-B", "must be the name of an environment variable", ""),
        ('"A\\nLD_PRELOAD"', "must be the name of an environment variable", ""),
        ('"1A"', "must be the name of an environment variable", ""),
    ],
)
def test_names_that_are_not_the_users_are_refused(told: Told, name: str, message: str, hint: str) -> None:
    (problem,) = told(f"{HEAD}  environment: {{{name}: x}}\n")
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f"'{PROXY}'", "secrets do not belong in this file"),
        ("'proxy.home:3128'", "must be a proxy's URL"),
        ("'ftp://proxy.home'", "must be a proxy's URL"),
        ("'http://proxy.home:3128/path'", "must be a proxy's URL"),
        ('"http://proxy.home\\nLD_PRELOAD=/x"', "must be a proxy's URL"),
        ("\"http://a' LD_PRELOAD='b\"", "must be a proxy's URL"),
        ("{env: NOT_THERE}", "the environment variable NOT_THERE is not set"),
        ("{env: NO_URL}", "must be a proxy's URL"),
        ("{env: TWO_LINES}", "does not contain a secret on one line"),
        ("{}", "needs one of env, file, keyring, command"),
    ],
)
@pytest.mark.parametrize("key", ["proxy: {}", "environment: {{HTTPS_PROXY: {}}}"], ids=["short", "long"])
def test_a_proxy_that_k3s_could_not_use_is_told_without_its_password(
    told: Told, key: str, value: str, message: str
) -> None:
    environ = {**ENVIRON, "NO_URL": f"me:{PASSWORD}@proxy", "TWO_LINES": f"{PROXY}\n{PROXY}"}
    problems = told(f"{HEAD}  {key.format(value)}\n", environ=environ)
    assert any(message in problem.message for problem in problems), problems
    assert all(problem.path.startswith("k3s.") for problem in problems)
    assert "tr0ub4dor" not in repr(problems)


def test_a_proxy_that_is_given_twice_is_refused(told: Told) -> None:
    (problem,) = told(f"{HEAD}  proxy: http://a:1\n  environment: {{HTTP_PROXY: 'http://b:1'}}\n")
    assert (problem.path, problem.message) == ("k3s.environment.HTTP_PROXY", "is given beside k3s.proxy")


def test_all_problems_come_together(told: Told) -> None:
    text = '  environment:\n    LD_PRELOAD: x\n    HTTP_PROXY: nope\n    A: {env: NOT_THERE}\n    B: "a\'b"\n'
    assert [problem.line for problem in told(HEAD + text)] == [4, 5, 7], "stored values are read once the rest is right"

"""The `backup:` section: schedule, retention, bucket, and its keys from the environment."""

from __future__ import annotations

import pytest

from bootstrap.model.cluster import BackupSpec, S3Spec
from tests.unit.inventory.kit import ENVIRON, Load, Told


def test_without_the_section_all_is_left_to_k3s(load: Load) -> None:
    assert load("cluster: demo").spec.backup == BackupSpec()


@pytest.mark.parametrize(
    "schedule", ["0 */6 * * *", "*/15 * * * *", "30 2 1,15 * *", "0 3 * jan-mar MON", "0 0-12/3 * * 0", "5/20 * * * *"]
)
def test_a_schedule_is_five_cron_fields(load: Load, schedule: str) -> None:
    assert load(f'backup: {{schedule: "{schedule}"}}').spec.backup.schedule == schedule


@pytest.mark.parametrize(
    ("schedule", "words", "hint"),
    [
        ("0 * * *", "must be five cron fields", "it has 4 fields"),
        ("0 0 * * * *", "must be five cron fields", "it has 6 fields"),
        ("@daily", "must be five cron fields", "it has 1 fields"),
        ("60 * * * *", "has '60' for the minute", "from 0 to 59"),
        ("0 24 * * *", "has '24' for the hour", "from 0 to 23"),
        ("0 0 0 * *", "has '0' for the day of the month", "from 1 to 31"),
        ("0 0 * foo *", "has 'foo' for the month", "from 1 to 12"),
        ("0 0 * * 7", "has '7' for the day of the week", "from 0 to 6"),
        ("5-1 * * * *", "has '5-1' for the minute", ""),
        ("*/0 * * * *", "has '*/0' for the minute", ""),
        ("*-5 * * * *", "has '*-5' for the minute", ""),
    ],
)
def test_what_k3s_would_not_take_is_refused(told: Told, schedule: str, words: str, hint: str) -> None:
    (problem,) = told(f'backup: {{schedule: "{schedule}"}}')
    assert problem.path == "backup.schedule"
    assert words in problem.message
    assert hint in problem.hint


def test_the_buckets_keys_come_from_the_environment(load: Load) -> None:
    text = "backup: {retention: 3, s3: {bucket: snaps, endpoint: 'minio:9000', insecure: true, folder: /a/b/}}"
    environ = {**ENVIRON, "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    backup = load(text, environ=environ).spec.backup
    assert backup.retention == 3
    assert backup.s3 == S3Spec(
        endpoint="minio:9000", bucket="snaps", folder="a/b", access_key="AK", secret_key="SK", insecure=True
    )


def test_the_folder_is_the_clusters_unless_it_is_said_otherwise(load: Load) -> None:
    """Two clusters in one folder list, prune and restore each other's snapshots: seen with k3s 1.36.3."""

    def folder(text: str) -> str:
        s3 = load(f"cluster: attic\nbackup: {{s3: {{bucket: snaps{text}}}}}").spec.backup.s3
        assert s3 is not None
        return s3.folder

    assert folder("") == "attic"
    assert folder(", folder: homelab") == "homelab"
    assert folder(", folder: /") == ""


def test_how_many_are_kept_on_demand_and_in_the_bucket(load: Load) -> None:
    backup = load("backup: {on_demand_retention: 7, s3: {bucket: snaps, retention: 60}}").spec.backup
    assert backup.s3 is not None
    assert (backup.on_demand_retention, backup.s3.retention) == (7, 60)


def test_the_variables_can_have_other_names_and_may_be_unset(load: Load) -> None:
    text = "backup: {s3: {bucket: snaps, access_key_env: MINE, secret_key_env: ALSO_MINE}}"
    environ = {**ENVIRON, "MINE": "AK", "AWS_SECRET_ACCESS_KEY": "another"}
    s3 = load(text, environ=environ).spec.backup.s3
    assert s3 is not None
    assert (s3.endpoint, s3.access_key, s3.secret_key) == ("s3.amazonaws.com", "AK", "")


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("{endpoint: minio}", "backup.s3", "needs a bucket", "such as"),
        ("{bucket: snaps, endpoint: https://minio:9000/}", "backup.s3.endpoint", "a host", "write minio:9000"),
        ("{bucket: Snaps}", "backup.s3.bucket", "a bucket's name", ""),
        ("{bucket: snaps, access_key: AK}", "backup.s3.access_key", "is not a known key", "access_key_env"),
        ("snaps", "backup.s3", "must be a mapping", ""),
    ],
)
def test_a_bucket_that_cannot_be_meant_is_refused(told: Told, text: str, path: str, message: str, hint: str) -> None:
    (problem,) = told(f"backup: {{s3: {text}}}")
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint

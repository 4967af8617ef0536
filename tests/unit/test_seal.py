"""Seals on records: nothing of what is sealed can be another without the key's owner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.records.vms.seal import Bearer, RecordKey, RecordKind, body_in, is_sealed

KEY = RecordKey(b"k" * 32)
MARK = "mark:"
BEARER = Bearer(vmid=7001, name="demo-workers-1", identity="uuid-1")
BODY: dict[str, object] = {"cluster": "demo", "vmid": 7001, "nested": [{"a": 1}]}


def text(body: dict[str, object]) -> str:
    import json

    return f"notes\n{MARK} {json.dumps(body)}\nmore"


SEALED = text(KEY.sealed(RecordKind.MACHINE, BODY, BEARER))


def fits(description: str = SEALED, *, kind: RecordKind = RecordKind.MACHINE, bearer: Bearer = BEARER) -> bool:
    return KEY.fits(kind, description, mark=MARK, bearer=bearer)


def test_what_was_sealed_fits_in_whatever_order_its_fields_are() -> None:
    assert fits()
    body = body_in(SEALED, mark=MARK)
    assert body is not None
    assert fits(text(dict(reversed(body.items()))))


@pytest.mark.parametrize("kind", [kind for kind in RecordKind if kind is not RecordKind.MACHINE])
def test_a_seal_of_one_kind_is_none_of_another(kind: RecordKind) -> None:
    assert not fits(kind=kind)


@pytest.mark.parametrize("change", [{"vmid": 7002}, {"name": "demo-workers-2"}, {"identity": "uuid-2"}])
def test_it_is_for_one_very_vm(change: dict[str, object]) -> None:
    assert not fits(bearer=replace(BEARER, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", [*BODY, "another"])
def test_no_field_can_be_changed_added_or_left_out(field: str) -> None:
    sealed = KEY.sealed(RecordKind.MACHINE, BODY, BEARER)
    assert not fits(text({**sealed, field: "other"}))
    if field in BODY:
        assert not fits(text({key: value for key, value in sealed.items() if key != field}))


def test_another_key_seals_otherwise_and_no_key_shows() -> None:
    other = RecordKey(b"o" * 32)
    assert not other.fits(RecordKind.MACHINE, SEALED, mark=MARK, bearer=BEARER)
    assert "kkk" not in repr(KEY)


def test_what_bears_no_seal_is_told_apart() -> None:
    assert is_sealed(SEALED, mark=MARK)
    assert not is_sealed(text(BODY), mark=MARK)
    assert not fits(text(BODY))


@pytest.mark.parametrize(
    "line", ["", "x", "[]", "1e999", '{"vmid": 1e999, "seal": "0"}', '{"seal": 1}', '{"seal": "\\ud800é"}', "[" * 3000]
)
def test_what_is_no_record_bears_none(line: str) -> None:
    assert not fits(f"{MARK} {line}")


@given(st.text())
def test_any_description_can_be_looked_at(description: str) -> None:
    assert not fits(description)

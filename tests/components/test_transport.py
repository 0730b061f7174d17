"""Experiment files arrive as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm import errors
from physlm_components import running, transport


@given(st.one_of(st.text(), st.text("{}$. inputs")))
def test_what_is_sent_is_received_and_holds_nothing_to_expand(text: str) -> None:
    if not text.startswith("base64:"):
        assert transport.received(transport.sent(text)) == text
    assert "{{" not in transport.sent(text)


def test_what_is_no_base64_is_refused() -> None:
    with pytest.raises(errors.ExperimentError, match="no text in base64"):
        transport.received("base64:!")


@pytest.mark.parametrize("name", ["open", "annotations", "__builtins__", "SystemExit", "Path"])
def test_a_line_of_a_log_calls_nothing(name: str) -> None:
    found = running.heard(f'{{"error": "{name}", "text": "/etc/passwd"}}')
    assert type(found) is errors.PhyslmError
    assert isinstance(running.heard('{"error": "StoreError", "text": "x"}'), errors.StoreError)

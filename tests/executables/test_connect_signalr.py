"""Plain English whose rules are not sure: whose model is asked."""

import pytest

from code_evolver.core.errors import InputError
from code_evolver.executables.connect_signalr import understand
from tests.acceptance.model_server import model_server


def test_the_model_of_the_named_workspace_is_asked(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with model_server() as server:
        (tmp_path / "config.yaml").write_text(
            "llm:\n  backends:\n    here:\n      type: openai\n"
            f"      base_url: {server.url}\n  tiers:\n    general: here/tiny\n",
            encoding="utf-8",
        )
        with pytest.raises(InputError, match="not understood"):  # this model answers no JSON
            understand("Connect to http://h.example/hub and dance", str(tmp_path))
        assert server.asked

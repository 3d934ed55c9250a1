"""What several acceptance files ask for by name."""

import pytest

from tests.dying_kit import no_orphans


@pytest.fixture
def nobody_is_left_behind():
    """No process that the test started, or that those started, outlives it."""
    with no_orphans():
        yield

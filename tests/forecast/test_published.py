"""Published figures beside a plan."""

from pathlib import Path

import pytest

from engine.forecast.published import published_beside
from engine.plan.errors import PlanErrors


def test_a_plan_without_published_figures_has_none(tmp_path: Path) -> None:
    assert published_beside(tmp_path / "plan.yaml") is None


def test_figures_are_read_in_seconds_and_shares(tmp_path: Path) -> None:
    figures = "{makespan: 2h, utilisation: 0.5, idle: 30m, checkpoints: 3, recovery: 1m}"
    (tmp_path / "published.yaml").write_text(f"source: a paper\nrolling: {figures}\n")
    published = published_beside(tmp_path / "plan.yaml")
    assert published is not None
    assert published.wave is None
    assert published.rolling is not None
    assert (published.rolling.makespan, published.rolling.idle) == (7200.0, 1800.0)


def test_a_wrong_figure_is_refused_with_its_place(tmp_path: Path) -> None:
    figures = "{makespan: 2h, utilisation: 50, idle: 30m, checkpoints: 3, recovery: 1m}"
    (tmp_path / "published.yaml").write_text(f"source: a paper\nwave: {figures}\n")
    with pytest.raises(PlanErrors, match='2:35: "50" is out of range'):
        published_beside(tmp_path / "plan.yaml")

"""The dashboards that ship are those that their source describes."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("grafana_foundation_sdk")

from deployments.grafana.boards import BOARDS
from deployments.grafana.build import Board, rendered

FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "grafana"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_committed_file_is_what_the_source_gives(board: Board) -> None:
    file = FOLDER / f"{board.uid}.json"
    assert file.read_text() == rendered(board), "run: python -m deployments.grafana"


def test_no_other_file_is_taken_for_a_dashboard() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == {board.uid for board in BOARDS}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_a_legend_names_labels_that_its_query_keeps(board: Board) -> None:
    for _, panels in board.rows:
        for panel in panels:
            for query in panel.queries:
                kept = set(re.split(r", *", ",".join(re.findall(r"\bby \(([^)]*)\)", query.expr))))
                named = set(re.findall(r"{{(\w+)}}", query.legend))
                assert named <= kept or query.expr.startswith("model:"), (panel.title, query)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_panels_do_not_overlap(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(rendered(board))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells

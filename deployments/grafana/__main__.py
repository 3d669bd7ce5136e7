"""Writes every dashboard; the files are committed, and a test holds them to this source."""

from pathlib import Path

from deployments.grafana.boards import BOARDS
from deployments.grafana.build import rendered

FOLDER = Path(__file__).parent


def main() -> None:
    for board in BOARDS:
        (FOLDER / f"{board.uid}.json").write_text(rendered(board), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A dashboard from its rows of queries, through Grafana's own library."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh

SPAN, HEIGHT = 8, 7
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True)
class Query:
    """PromQL, and what a line is called. `exemplar`: points on it lead to traces."""

    expr: str
    legend: str
    exemplar: bool = False


@dataclass(frozen=True)
class Panel:
    """`unit` is Grafana's name of it; `about` explains what cannot be seen."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    about: str = ""


@dataclass(frozen=True)
class Board:
    """`rows`: a title, and its panels."""

    uid: str
    title: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def rendered(board: Board) -> str:
    """As Grafana imports it."""
    models = QueryVariable("model").label("Model").datasource(SOURCE).query("label_values(sluice_engines, model)")
    made = (
        Dashboard(board.title)
        .uid(board.uid)
        .tags(["sluice"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(models.multi(True).include_all(True).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED))
    )
    for title, panels in board.rows:
        made = made.with_row(Row(title))
        for panel in panels:
            made = made.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _panel(panel: Panel) -> TimeSeries:
    made = TimeSeries().title(panel.title).unit(panel.unit).datasource(SOURCE).span(SPAN).height(HEIGHT)
    made = made.min(0).fill_opacity(8).description(panel.about)
    for number, query in enumerate(panel.queries):
        asked = Dataquery().expr(query.expr).legend_format(query.legend).ref_id("ABCDEFGH"[number])
        made = made.with_target(asked.exemplar(query.exemplar).range())
    return made

// Plotly's charts, in the page's own colours. Plotly comes after the page: until then, and without it, numbers and tables are there.

let loading = null;

export function plotly() {
  loading ??= new Promise((done) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.addEventListener("load", () => done(window.Plotly));
    script.addEventListener("error", () => { loading = null; done(null); });
    document.head.append(script);
  });
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const palette = () => ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"].map(colour);

export async function draw(element, lines, { unit = "", seconds = false } = {}) {
  const Plotly = await plotly();
  if (Plotly === null || !element.isConnected || element.clientWidth === 0) return;
  const colours = palette();
  const traces = lines.map(({ name, x, y, hue = 0, dash = "solid", fill = false, hidden = false }) => ({
    type: "scatter", mode: "lines", name, x, y, connectgaps: false, showlegend: !hidden,
    line: { color: colours[hue % colours.length], width: dash === "solid" ? 2 : 1.4, dash, shape: "linear" },
    fill: fill ? "tozeroy" : "none", fillcolor: `${colours[hue % colours.length]}22`,
    hovertemplate: seconds ? "%{y:.3s}s" : `%{y:.3~s} ${unit}`,
  }));
  const text = colour("--muted");
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line"), tickfont: { color: text, size: 11 } };
  await Plotly.react(element, traces, {
    margin: { l: 46, r: 8, t: 4, b: 26 }, height: 190, autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", color: text }, hovermode: "x unified",
    hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text"), size: 12 } },
    xaxis: { ...axis, type: "date", tickformat: "%H:%M:%S", nticks: 5, showgrid: false },
    yaxis: { ...axis, rangemode: "tozero", ticksuffix: seconds ? "s" : "", tickformat: seconds ? "~s" : "~s", nticks: 4, fixedrange: true },
    showlegend: lines.length > 1, legend: { orientation: "h", y: 1.16, x: 0, font: { size: 11 }, bgcolor: "rgba(0,0,0,0)" },
  }, { displayModeBar: false, responsive: true });
}

// Draws the windows of /streams/data as small line charts, every five seconds.
const CHARTS = [
  ["TTFT, ms", ["ttft_p50_ms", "ttft_p99_ms"]],
  ["Inter-token latency, ms", ["gap_p50_ms", "gap_p99_ms"]],
  ["Queue time p99, ms", ["queue_p99_ms"]],
  ["End to end, ms", ["e2e_p50_ms", "e2e_p99_ms"]],
  ["Tokens/s", ["tokens_per_s"]],
  ["Streams in flight", ["in_flight"]],
  ["Failed, refused, left", ["failed", "refused", "left"]],
];
const COLOURS = ["#1f77b4", "#d62728", "#7f7f7f"];
const WIDTH = 480, HEIGHT = 140, LEFT = 48, BOTTOM = 18;

function line(values, most, colour) {
  const step = (WIDTH - LEFT) / Math.max(1, values.length - 1);
  let path = "", pen = "M";
  values.forEach((value, place) => {
    if (value === null) { pen = "M"; return; }
    path += `${pen}${(LEFT + place * step).toFixed(1)},${(HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - 8)).toFixed(1)}`;
    pen = "L";
  });
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
}

function chart(title, names, rows) {
  const most = Math.max(0.001, ...names.flatMap((name) => rows.map((row) => row[name] ?? 0)));
  const lines = names.map((name, place) => line(rows.map((row) => row[name]), most, COLOURS[place])).join("");
  const legend = names.map((name, place) => `<tspan fill="${COLOURS[place]}"> ${name}</tspan>`).join("");
  return `<figure style="display:inline-block;margin:8px"><svg width="${WIDTH}" height="${HEIGHT + 16}" font-size="11" font-family="sans-serif">
    <g transform="translate(0,16)"><text x="${LEFT}" y="-4" fill="gray">${title}:${legend}</text>
    <text x="2" y="14" fill="gray">${most.toPrecision(3)}</text><text x="2" y="${HEIGHT - BOTTOM}" fill="gray">0</text>
    <text x="${WIDTH - 90}" y="${HEIGHT - 2}" fill="gray">last 5 minutes</text>
    <path d="M${LEFT},8V${HEIGHT - BOTTOM}H${WIDTH}" fill="none" stroke="gray" stroke-width="0.5"/>${lines}</g></svg></figure>`;
}

async function draw() {
  const reply = await fetch("./streams/data");
  if (reply.ok) {
    const rows = await reply.json();
    document.getElementById("streams").innerHTML = CHARTS.map(([title, names]) => chart(title, names, rows)).join("");
  }
}

draw();
setInterval(draw, 5000);

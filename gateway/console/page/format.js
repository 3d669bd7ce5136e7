// Numbers as people read them. Seconds in, words out; "–" for what is not known.

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds === 0) return "0";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(2)} ms`;
  if (seconds < 0.1) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}

export const ago = (seconds) => (seconds < 1 ? "now" : `${duration(seconds)} ago`);

export function number(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) >= 10000) return `${new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value)}`;
  return new Intl.NumberFormat("en", { maximumFractionDigits: Math.abs(value) >= 100 ? 0 : digits }).format(value);
}

export const percent = (share) => (share === null || share === undefined ? "–" : `${number(100 * share, share < 0.1 ? 1 : 0)} %`);
export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString();
export const moment = (seconds) => new Date(seconds * 1000).toLocaleString();
export const words = (name) => name.replaceAll("_", " ");

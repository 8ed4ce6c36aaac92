// Numbers to places, places to numbers, numbers to words and colours.

export function format(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0 || (size >= 1e-3 && size < 1e6)) return size >= 1e4 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
  return exponential(value, digits);
}

/** Where there is no room for more than six characters. */
export function brief(value) {
  return Math.abs(value) >= 1e4 ? exponential(value, 3) : format(value, 4);
}

function exponential(value, digits) {
  return value.toExponential(digits - 1).replace(/\.?0+e/, "e");
}

/** From values to pixels, linear or logarithmic. */
export class Scale {
  constructor([low, high], [from, to], log = false) {
    this.log = log;
    this.low = log ? Math.log10(low) : low;
    this.high = log ? Math.log10(high) : high;
    if (!(this.high > this.low)) [this.low, this.high] = [this.low - 0.5, this.high + 0.5];
    this.from = from;
    this.to = to;
  }
  at(value) {
    const v = this.log ? Math.log10(value) : value;
    return this.from + ((v - this.low) / (this.high - this.low)) * (this.to - this.from);
  }
  back(place) {
    const v = this.low + ((place - this.from) / (this.to - this.from)) * (this.high - this.low);
    return this.log ? 10 ** v : v;
  }
  /** Round values to write beside the axis. */
  ticks(most) {
    if (this.log) return logTicks(this.low, this.high, most);
    const step = niceStep((this.high - this.low) / Math.max(most, 1));
    const found = [];
    for (let k = Math.ceil(this.low / step - 1e-9); k * step <= this.high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
    return found;
  }
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((times) => times * power >= rough * 0.999) ?? 10);
}

function logTicks(low, high, most) {
  const decades = high - low;
  if (decades < 0.5) return new Scale([10 ** low, 10 ** high], [0, 1]).ticks(most);
  if (decades < 2.2) {
    const found = [];
    for (let d = Math.floor(low); d <= high; d++) for (const m of decades < 1.2 ? [1, 2, 3, 5, 7] : [1, 3]) found.push(m * 10 ** d);
    const inside = found.filter((v) => Math.log10(v) >= low - 1e-9 && Math.log10(v) <= high + 1e-9);
    return inside.length >= 2 ? inside : [10 ** low, 10 ** high];
  }
  const every = Math.max(1, Math.ceil(decades / Math.max(most, 1)));
  const found = [];
  for (let d = Math.ceil(low - 1e-9); d <= high + 1e-9; d++) if (d % every === 0) found.push(10 ** d);
  return found;
}

/** Smallest and largest of what is finite (and positive for logarithms); null if nothing is. */
export function extent(values, log = false) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return high >= low ? [low, high] : null;
}

// Viridis (van der Walt and Smith 2015), and blue-grey-red for what has a middle
const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];
const MIDDLE = ["053061", "2166ac", "4393c3", "92c5de", "c9d3da", "d8d8d8", "e4cfc4", "f4a582", "d6604d", "b2182b", "67001f"];

function ramp(stops) {
  const rgb = stops.map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const table = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (rgb.length - 1);
    const k = Math.min(Math.floor(place), rgb.length - 2);
    for (let c = 0; c < 3; c++) table[3 * i + c] = Math.round(rgb[k][c] + (place - k) * (rgb[k + 1][c] - rgb[k][c]));
  }
  return table;
}

export const SEQUENTIAL = ramp(VIRIDIS);
export const DIVERGING = ramp(MIDDLE);

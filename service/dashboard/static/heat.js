// A map of numbers: rows (layers, or time steps) over steps, on a canvas.

import { Plot } from "./plot.js";
import { DIVERGING, SEQUENTIAL, Scale, brief, extent, format } from "./scale.js";

const LEFT_MOST = 150;
const TOP = 18;
const BOTTOM = 32;
const SCALE_WIDTH = 74;
const LOST = [232, 28, 160];
const ZERO = [128, 128, 128];

export class HeatMap extends Plot {
  data = null;

  constructor(root, options) {
    super(root, options);
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.cells = document.createElement("canvas");
    this.plain = document.createElement("canvas");
  }

  /**
   * rows: names; steps: ascending; values[step][row]; nonfinite: [step, row, kind]; colours: {log, middle (of a diverging
   * map), bounds}; mark: {step, text, rows: indices}; message: why there is nothing; rowName: what a row is called.
   */
  set(data) {
    this.data = data;
    this.kinds = new Map((data.nonfinite ?? []).map(([step, row, kind]) => [`${step} ${row}`, kind]));
    this.redraw();
  }

  draw() {
    const { data } = this;
    if (!data) return this.message("Being read …");
    if (data.message || !data.steps.length || !data.rows.length) {
      this.x = null;
      return this.message(data.message || "Nothing was measured here.");
    }
    const { log, middle, bounds } = data.colours;
    this.bounds = bounds ?? extent(data.values.flat(), log) ?? (log ? [0.1, 1] : [0, 1]);
    if (middle) {
      const far = Math.max(this.bounds[1] / middle, middle / this.bounds[0], 1.01);
      this.bounds = [middle / far, middle * far];
    }
    this.colour = new Scale(this.bounds, [0, 255], log);
    this.table = middle ? DIVERGING : SEQUENTIAL;
    this.height = Math.round(Math.min(Math.max(data.rows.length * 14 + TOP + BOTTOM, 200), 520));
    this.#paint();
    this.box.setAttribute("aria-label", this.#summary());
    if (this.cursor) this.point(...this.cursor);
  }

  #paint() {
    const { canvas, data, width, height } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(this.root);
    const [text, soft, bad] = ["--text", "--soft", "--bad"].map((name) => style.getPropertyValue(name));
    pen.font = `12px ${style.fontFamily}`;
    const widest = Math.max(...data.rows.map((name) => pen.measureText(name).width));
    this.left = Math.ceil(Math.min(widest + 12, LEFT_MOST, width * 0.3));
    const right = width - SCALE_WIDTH;
    this.x = new Scale(this.range.now, [this.left, right]);
    this.rowHeight = (height - TOP - BOTTOM) / data.rows.length;
    const image = this.#image(Math.max(right - this.left, 1));
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, this.left, TOP, right - this.left, height - TOP - BOTTOM);
    pen.fillStyle = soft;
    this.#names(pen);
    this.#steps(pen, right);
    this.#scale(pen, right + 14, soft);
    if (data.mark) this.#mark(pen, bad, right);
    if (this.box.firstChild !== canvas) this.box.replaceChildren(canvas);
    this.ink = text;
    this.#keep();
  }

  /** One pixel for each row and each column of the screen; each step's colour holds until the next one. */
  #image(columns) {
    const { data } = this;
    const image = this.cells;
    image.width = Math.ceil(columns);
    image.height = data.rows.length;
    const pen = image.getContext("2d");
    const pixels = pen.createImageData(image.width, image.height);
    let at = 0;
    for (let column = 0; column < image.width; column++) {
      const step = this.x.back(this.left + column + 0.5);
      while (at + 1 < data.steps.length && data.steps[at + 1] <= step) at++;
      const row = data.values[at];
      for (let k = 0; k < image.height; k++) {
        const [r, g, b] = this.#rgb(row[k]);
        pixels.data.set([r, g, b, 255], 4 * (k * image.width + column));
      }
    }
    pen.putImageData(pixels, 0, 0);
    return image;
  }

  #rgb(value) {
    if (!Number.isFinite(value)) return LOST;
    if (this.colour.log && value <= 0) return ZERO;
    const place = Math.round(Math.min(Math.max(this.colour.at(value), 0), 255));
    return this.table.subarray(3 * place, 3 * place + 3);
  }

  #names(pen) {
    const every = Math.max(1, Math.ceil(15 / this.rowHeight));
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    this.data.rows.forEach((name, row) => {
      if (row % every === 0) pen.fillText(fitted(pen, name, this.left - 10), this.left - 6, TOP + (row + 0.5) * this.rowHeight);
    });
  }

  #steps(pen, right) {
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    for (const value of this.x.ticks(Math.max(Math.floor((right - this.left) / 110), 2)).filter(Number.isInteger)) pen.fillText(format(value, 6), this.x.at(value), this.height - 17);
    pen.textAlign = "right";
    pen.fillText("step", right, this.height - 3);
  }

  #scale(pen, left, soft) {
    const bottom = this.height - BOTTOM;
    const place = new Scale(this.bounds, [bottom, TOP], this.colour.log);
    for (let y = TOP; y < bottom; y++) {
      const [r, g, b] = this.#rgb(place.back(y + 0.5));
      pen.fillStyle = `rgb(${r} ${g} ${b})`;
      pen.fillRect(left, y, 12, 1);
    }
    pen.fillStyle = soft;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (const value of place.ticks(5)) pen.fillText(brief(value), left + 16, place.at(value));
    if (this.data.nonfinite?.length) {
      pen.fillStyle = `rgb(${LOST.join(" ")})`;
      pen.fillRect(left, this.height - 16, 12, 12);
      pen.fillStyle = soft;
      pen.fillText("lost", left + 16, this.height - 10);
    }
  }

  /** The evidence of a finding: since when, and in which rows. */
  #mark(pen, bad, right) {
    const { step, text, rows } = this.data.mark;
    pen.fillStyle = pen.strokeStyle = bad;
    for (const row of rows ?? []) pen.fillRect(this.left - 4, TOP + row * this.rowHeight, 3, Math.max(this.rowHeight, 1));
    const at = this.x.at(step ?? -1);
    if (step === null || at < this.left - 1 || at > right + 1) return;
    pen.lineWidth = 2;
    pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.moveTo(at, TOP - 4);
    pen.lineTo(at, this.height - BOTTOM);
    pen.stroke();
    pen.setLineDash([]);
    pen.textBaseline = "alphabetic";
    pen.textAlign = at > this.width / 2 ? "right" : "left";
    pen.fillText(text, at + (at > this.width / 2 ? -4 : 4), TOP - 6);
  }

  #keep() {
    this.plain.width = this.canvas.width;
    this.plain.height = this.canvas.height;
    this.plain.getContext("2d").drawImage(this.canvas, 0, 0);
  }

  #again() {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.plain, 0, 0);
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return pen;
  }

  point(px, py) {
    this.cursor = px === null ? null : [px, py];
    if (!this.x) return;
    const pen = this.#again();
    if (px === null) return;
    const { data } = this;
    const row = Math.min(Math.max(Math.floor((py - TOP) / this.rowHeight), 0), data.rows.length - 1);
    const wanted = this.x.back(Math.min(Math.max(px, this.x.from), this.x.to));
    let at = 0;
    while (at + 1 < data.steps.length && data.steps[at + 1] <= wanted) at++;
    const step = data.steps[at];
    pen.strokeStyle = this.ink;
    pen.lineWidth = 1.5;
    pen.strokeRect(this.left, TOP + row * this.rowHeight, this.x.to - this.left, Math.max(this.rowHeight, 2));
    pen.strokeRect(Math.max(this.x.at(step), this.left) - 0.5, TOP, 1, this.height - TOP - BOTTOM);
    const value = data.values[at][row];
    const told = value === null ? (this.kinds.get(`${step} ${row}`) ?? "not finite") : format(value, 4);
    this.says.textContent = `step ${format(step, 9)}, ${data.rowName ?? ""}${data.rows[row]}: ${told}`;
  }

  brush(from, to) {
    if (!this.x) return;
    const pen = this.#again();
    if (from === null) return;
    pen.fillStyle = this.ink;
    pen.globalAlpha = 0.25;
    pen.fillRect(Math.min(from, to), TOP, Math.abs(to - from), this.height - TOP - BOTTOM);
    pen.globalAlpha = 1;
  }

  #summary() {
    const { rows, steps, nonfinite, mark } = this.data;
    const lost = nonfinite?.length ? `; ${nonfinite.length} values are not finite` : "";
    const marked = mark?.step !== null && mark?.text ? `; ${mark.text}` : "";
    return `${this.label}: ${rows.length} rows over ${steps.length} sampled steps from ${format(steps[0], 9)} to ${format(steps.at(-1), 9)}, values from ${format(this.bounds[0])} to ${format(this.bounds[1])}${lost}${marked}.`;
  }
}

function fitted(pen, name, width) {
  if (pen.measureText(name).width <= width) return name;
  let text = name; // its end tells it from its neighbours
  while (text.length > 1 && pen.measureText(`…${text}`).width > width) text = text.slice(1);
  return `…${text}`;
}

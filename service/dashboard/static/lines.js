// Curves over steps or layers, as SVG.

import { node } from "./elements.js";
import { Plot } from "./plot.js";
import { Scale, extent, format } from "./scale.js";

const NS = "http://www.w3.org/2000/svg";
const LEFT = 62;
const RIGHT = 14;
const TOP = 34;
const MARK_ROWS = 2; // of texts above the curves, so that two marks close by can both be read
const BOTTOM = 32;

const svg = (name, attributes = {}, text) => {
  const shape = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
  if (text !== undefined) shape.textContent = text;
  return shape;
};

export class LineChart extends Plot {
  data = { series: [], marks: [], levels: [], log: false, xName: "step", message: "Being read …" };

  constructor(root, options) {
    super(root, options);
    this.legend = node("ul", "", "legend");
    root.append(this.legend);
  }

  /**
   * series: {name, className, x: [], y: [] (null: a gap), dashed, dots}; marks: {x, text, className}; levels: {y, text};
   * message: why there is nothing; xSays: what the readout calls a place.
   */
  set(data) {
    this.data = { ...this.data, ...data };
    this.#showLegend();
    this.redraw();
  }

  draw() {
    const { series, marks, levels, log, message } = this.data;
    const inside = series.flatMap(({ x, y }) => y.filter((_, i) => this.#isShown(x[i])));
    const found = extent([...inside, ...levels.map(({ y }) => y)], log);
    if (message || !found) {
      this.x = null;
      return this.message(message || this.#whyNothing(inside, log));
    }
    const { width, height } = this;
    this.x = new Scale(this.zooms ? this.range.now : this.#ownRange(), [LEFT, width - RIGHT]);
    this.y = new Scale(padded(found, log), [height - BOTTOM, TOP], log);
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const clip = `clip-${this.root.id}`;
    const area = svg("clipPath", { id: clip });
    area.append(svg("rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height }));
    picture.append(area, ...this.#axes());
    const curves = svg("g", { "clip-path": `url(#${clip})` });
    for (const { y, text } of levels) curves.append(...this.#level(y, text));
    for (const one of series) curves.append(...this.#curve(one));
    for (const [index, mark] of marks.entries()) curves.append(...this.#mark(mark, index % MARK_ROWS));
    picture.append(curves);
    this.cursorLine = svg("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, x1: -9, x2: -9 });
    this.brushed = svg("rect", { class: "brush", y: TOP, height: height - TOP - BOTTOM, x: -9, width: 0 });
    picture.append(this.brushed, this.cursorLine);
    this.box.replaceChildren(picture);
    this.box.setAttribute("aria-label", this.#summary());
    if (this.cursor) this.point(...this.cursor);
  }

  #isShown(x) {
    const [from, to] = this.zooms ? this.range.now : [-Infinity, Infinity];
    return x >= from && x <= to;
  }

  #ownRange() {
    return extent(this.data.series.flatMap(({ x }) => x)) ?? [0, 1];
  }

  #whyNothing(inside, log) {
    if (!inside.length) return "Nothing was measured here.";
    const finite = inside.filter(Number.isFinite);
    if (!finite.length) return "None of these numbers is finite.";
    return log ? "None of these numbers is positive: without the log scale they can be drawn." : "Nothing to draw.";
  }

  #axes() {
    const { width, height, x, y } = this;
    const nodes = [];
    for (const value of y.ticks(5)) {
      const at = y.at(value);
      nodes.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }));
      nodes.push(svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, format(value, 5)));
    }
    for (const value of x.ticks(Math.max(Math.floor((width - LEFT) / 110), 2)).filter(Number.isInteger)) {
      const at = x.at(value);
      nodes.push(svg("text", { x: at, y: height - 15, "text-anchor": "middle" }, format(value, 6)));
    }
    nodes.push(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: height - BOTTOM, y2: height - BOTTOM }));
    nodes.push(svg("text", { x: width - RIGHT, y: height - 4, "text-anchor": "end" }, this.data.xName));
    return nodes;
  }

  #curve({ x, y, className, dashed, dots }) {
    const can = (value) => Number.isFinite(value) && !(this.y.log && value <= 0);
    let path = "";
    let begins = true;
    const alone = [];
    for (let i = 0; i < x.length; i++) {
      if (!can(y[i])) {
        begins = true;
        continue;
      }
      if (begins && !(i + 1 < x.length && can(y[i + 1]))) alone.push(i);
      path += `${begins ? "M" : "L"}${this.x.at(x[i]).toFixed(1)} ${this.y.at(y[i]).toFixed(1)}`;
      begins = false;
    }
    const nodes = [svg("path", { d: path, class: `line ${className}${dashed ? " dashed" : ""}` })];
    for (const i of dots && x.length <= 80 ? x.keys() : alone) {
      if (can(y[i])) nodes.push(svg("circle", { cx: this.x.at(x[i]), cy: this.y.at(y[i]), r: 3, class: `dot ${className}`, fill: "currentColor" }));
    }
    return nodes;
  }

  #level(value, text) {
    if (this.y.log && value <= 0) return [];
    const at = this.y.at(value);
    return [
      svg("line", { class: "mark", x1: LEFT, x2: this.width - RIGHT, y1: at, y2: at }),
      svg("text", { class: "mark-text", x: LEFT + 6, y: at - 5 }, text),
    ];
  }

  #mark({ x, text, className = "mark" }, row) {
    const at = this.x.at(x);
    const isRight = at > this.width / 2;
    return [
      svg("line", { class: className, x1: at, x2: at, y1: TOP - 6 - 15 * row, y2: this.height - BOTTOM }),
      svg("text", { class: `${className}-text`, x: at + (isRight ? -5 : 5), y: TOP - 8 - 15 * row, "text-anchor": isRight ? "end" : "start" }, text),
    ];
  }

  #showLegend() {
    this.legend.replaceChildren(
      ...this.data.series.map(({ name, className, dashed }) => {
        const item = node("li");
        item.append(node("span", "", `key ${className}${dashed ? " dashed" : ""}`), name);
        return item;
      }),
    );
  }

  #summary() {
    const told = this.data.series.map(({ name, y }) => {
      const finite = y.filter(Number.isFinite);
      return finite.length ? `${name} from ${format(finite[0])} to ${format(finite.at(-1))}` : `${name} not finite`;
    });
    const marks = this.data.marks.map(({ text }) => text);
    return `${this.label}: ${[...told, ...marks].join("; ")}.`;
  }

  point(px) {
    this.cursor = px === null ? null : [px, this.cursor?.[1]];
    if (!this.x || !this.cursorLine) return;
    if (px === null) {
      this.cursorLine.setAttribute("x1", -9);
      this.cursorLine.setAttribute("x2", -9);
      return;
    }
    const { series, xSays = (value) => `${this.data.xName} ${format(value, 6)}` } = this.data;
    const wanted = this.x.back(px);
    let place = null;
    for (const { x } of series) for (const value of x) if (place === null || Math.abs(value - wanted) < Math.abs(place - wanted)) place = value;
    if (place === null) return;
    const at = this.x.at(place);
    this.cursorLine.setAttribute("x1", at);
    this.cursorLine.setAttribute("x2", at);
    const told = series.filter(({ x }) => x.includes(place)).map(({ name, x, y }) => `${name} ${format(y[x.indexOf(place)], 4)}`);
    this.says.textContent = `${xSays(place)}: ${told.join(", ")}`;
  }

  brush(from, to) {
    this.brushed?.setAttribute("x", from === null ? -9 : Math.min(from, to));
    this.brushed?.setAttribute("width", from === null ? 0 : Math.abs(to - from));
  }
}

function padded([low, high], log) {
  if (log) return low === high ? [low / 3, high * 3] : [low, high];
  const edge = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
  return [low - edge, high + edge];
}

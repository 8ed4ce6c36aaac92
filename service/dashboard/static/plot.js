// What all charts have in common: a place that fits its width, a cursor by pointer and by keys, a range to zoom into.

import { node } from "./elements.js";

/** The steps that are shown; charts that share one zoom together. */
export class Range extends EventTarget {
  full = [0, 1];
  shown = null;
  get now() {
    return this.shown ?? this.full;
  }
  setFull(from, to) {
    this.full = [from, Math.max(to, from + 1)];
  }
  zoom(from, to) {
    const [low, high] = this.full;
    const [a, b] = [Math.max(Math.min(from, to), low), Math.min(Math.max(from, to), high)];
    this.shown = b - a < 1 || (a <= low && b >= high) ? null : [a, b];
    this.dispatchEvent(new Event("change"));
  }
  reset() {
    this.shown = null;
    this.dispatchEvent(new Event("change"));
  }
}

const KEYS = "Arrow keys move the cursor, plus and minus zoom, 0 shows all.";

export class Plot {
  constructor(root, { label, range = new Range(), height = 250, zooms = true }) {
    this.root = root;
    this.range = range;
    this.height = height;
    this.zooms = zooms;
    this.label = label;
    this.cursor = null;
    this.box = node("div", "", "plot");
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "group");
    this.says = node("p", "", "says");
    this.says.setAttribute("aria-live", "polite");
    root.replaceChildren(this.box, this.says);
    this.waiting = false;
    new ResizeObserver(() => this.redraw()).observe(root);
    document.addEventListener("recolour", () => this.redraw());
    range.addEventListener("change", () => this.redraw());
    this.#listen();
  }

  get width() {
    return Math.max(this.root.clientWidth, 200);
  }

  /** Once a frame, however often it is asked for. */
  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  /** Says that there is nothing to draw, and why. */
  message(text) {
    this.box.replaceChildren(node("p", text, "message"));
    this.box.setAttribute("aria-label", `${this.label}: ${text}`);
    this.says.textContent = "";
  }

  #listen() {
    let from = null;
    const at = (event) => event.clientX - this.box.getBoundingClientRect().left;
    this.box.addEventListener("pointermove", (event) => {
      const y = event.clientY - this.box.getBoundingClientRect().top;
      this.point(at(event), y);
      if (from !== null) this.brush(from, at(event));
    });
    this.box.addEventListener("pointerleave", () => from === null && this.point(null, null));
    this.box.addEventListener("pointerdown", (event) => {
      if (!this.zooms || !this.x || event.button !== 0) return;
      from = at(event);
      this.box.setPointerCapture(event.pointerId);
    });
    const end = (event) => {
      if (from === null) return;
      const to = at(event);
      this.brush(null);
      if (event.type === "pointerup" && Math.abs(to - from) > 6) this.range.zoom(this.x.back(from), this.x.back(to));
      from = null;
    };
    this.box.addEventListener("pointerup", end);
    this.box.addEventListener("pointercancel", end);
    this.box.addEventListener("dblclick", () => this.zooms && this.range.reset());
    this.box.addEventListener("keydown", (event) => {
      if (!this.x || event.ctrlKey || event.metaKey || event.altKey) return;
      const { key } = event;
      const { from: left, to: right } = this.x;
      const now = this.cursor?.[0] ?? (left + right) / 2;
      const y = this.cursor?.[1] ?? this.height / 2;
      const step = event.shiftKey ? 40 : 8;
      if (key === "ArrowLeft" || key === "ArrowRight") this.point(Math.min(Math.max(now + (key === "ArrowLeft" ? -step : step), left), right), y);
      else if (key === "ArrowUp" || key === "ArrowDown") this.point(now, Math.min(Math.max(y + (key === "ArrowUp" ? -step : step), 0), this.height));
      else if (this.zooms && (key === "+" || key === "=")) this.#zoomAbout(this.x.back(now), 0.5);
      else if (this.zooms && key === "-") this.#zoomAbout(this.x.back(now), 2);
      else if (this.zooms && (key === "0" || key === "Escape")) this.range.reset();
      else return;
      event.preventDefault();
    });
    this.box.title = this.zooms ? `Drag to zoom. ${KEYS}` : "";
  }

  #zoomAbout(value, times) {
    const [low, high] = this.range.now;
    this.range.zoom(value - (value - low) * times, value + (high - value) * times);
  }
}

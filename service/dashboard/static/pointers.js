// Where in a JSON text a JSON Pointer leads to, so that an editor can show the place of a problem.

/** [start, end] of the value, or of the deepest part of the way that is there; null if the text is no JSON. */
export function placeOf(text, pointer) {
  const parts = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  let at = 0;
  let best = null;

  const skip = () => {
    while (/\s/.test(text[at] ?? "")) at++;
  };
  const string = () => {
    const start = at++;
    while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    return JSON.parse(text.slice(start, at));
  };
  /** Walks over a value; `depth` parts of the pointer lead to it, or -1: it lies beside the way. */
  const value = (depth) => {
    skip();
    const start = at;
    const open = text[at];
    if (open === "{" || open === "[") {
      at++;
      skip();
      for (let index = 0; text[at] !== "}" && text[at] !== "]"; index++) {
        let name = String(index);
        const from = at;
        if (open === "{") {
          name = string();
          skip();
          at++; // the colon
        }
        const isOnWay = depth >= 0 && depth < parts.length && parts[depth] === name;
        if (isOnWay) best = [from, from];
        value(isOnWay ? depth + 1 : -1);
        if (isOnWay && best[0] === from) best = [from, at];
        skip();
        if (text[at] === ",") at++;
        skip();
        if (at >= text.length) throw new Error("it ends too early");
      }
      at++;
    } else if (open === '"') {
      string();
    } else {
      while (at < text.length && !/[\s,\]}]/.test(text[at])) at++;
      if (at === start) throw new Error("no value");
    }
  };
  try {
    value(0);
  } catch {
    return best;
  }
  return best;
}

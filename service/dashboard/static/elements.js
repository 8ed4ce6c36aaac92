// Parts of a page, made by its scripts.

export const node = (name, text = "", className = "") => Object.assign(document.createElement(name), { textContent: text, className });

/** A list of facts, from pairs of a name and what is said of it. */
export function facts(pairs) {
  const list = node("dl", "", "facts");
  for (const [name, said] of pairs) {
    const pair = node("div");
    pair.append(node("dt", name), node("dd", said));
    list.append(pair);
  }
  return list;
}

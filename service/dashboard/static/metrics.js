// The columns of `/metrics`, and choosing one of them.

const NO_METRICS = ["epoch", "run", "nonfinite"];

export const namesOf = (columns) => Object.keys(columns).filter((name) => !NO_METRICS.includes(name));

/** Once: what is asked again as a job moves brings mostly the same names. */
export function offer(choice, name) {
  if (![...choice.options].some(({ value }) => value === name)) choice.add(new Option(name.replaceAll("_", " "), name));
}

// Small drawings in SVG, without axes or a library. Each says in words what it shows, for those who do not see it.

import { drawn } from "./dom.js";

const WIDTH = 240;
const PAD = 2;

/** Draws lines of {values, name} over the same time, the oldest first; null leaves a gap. Returns the highest value. */
export function lines(place, list, points, height = 40) {
  const highest = Math.max(...list.flatMap(({ values }) => values.filter((value) => value !== null)), 0) || 1;
  const x = (at, length) => WIDTH - ((length - 1 - at) * WIDTH) / (points - 1);
  const y = (value) => height - PAD - (value / highest) * (height - 2 * PAD);
  const drawings = list.map(({ values, name }) =>
    drawn("path", { d: path(values, (at) => x(at, values.length), y), "data-line": name, fill: "none" }),
  );
  const base = drawn("path", { d: `M0 ${height - 0.5}H${WIDTH}`, "data-line": "base" });
  place.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  place.setAttribute("preserveAspectRatio", "none");
  place.replaceChildren(base, ...drawings.reverse());
  return highest;
}

function path(values, x, y) {
  let pen = "M";
  return values
    .map((value, at) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const step = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return step;
    })
    .join("");
}

/** Draws one column a count, the highest as high as the drawing. */
export function columns(place, counts, height = 40) {
  const highest = Math.max(...counts) || 1;
  const step = WIDTH / counts.length;
  place.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  place.setAttribute("preserveAspectRatio", "none");
  place.replaceChildren(
    ...counts.map((count, at) => {
      const high = count ? Math.max((count / highest) * height, 1) : 0.5;
      return drawn("rect", { x: at * step + 1, y: height - high, width: step - 2, height: high, "data-empty": !count });
    }),
  );
}

// Reading values off the curves: at the pointer, or at the step that the scrubber shows.

export function makeCurves(charts) {
  const read = charts.map(makeReader).filter(Boolean);
  return { mark: (step) => read.forEach((at) => at(step)) };
}

function makeReader(figure) {
  const svg = figure.querySelector("svg");
  if (!svg) return undefined;
  const { low, high, left, right, series } = JSON.parse(svg.dataset.axis);
  const [line, readout] = [svg.querySelector(".now"), figure.querySelector(".readout")];
  let rest = null;

  const show = (step) => {
    const shown = step !== null && step >= low && step <= high;
    line.style.visibility = shown ? "visible" : "hidden";
    readout.textContent = shown ? describe(series, step) : "";
    if (!shown) return;
    const x = left + ((step - low) / (high - low)) * (right - left);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const step = low + ((x - left) / (right - left)) * (high - low);
    show(Math.min(high, Math.max(low, Math.round(step))));
  });
  svg.addEventListener("pointerleave", () => show(rest));
  return (step) => show((rest = step));
}

/** "step 50: loss 0.031", with the last value at or before the step. */
function describe(series, step) {
  const values = series.map(({ name, steps, values }) => {
    let at = steps.findLastIndex((s) => s <= step);
    if (at < 0) at = 0;
    const value = Number(values[at].toPrecision(4));
    return series.length > 1 ? `${name} ${value}` : `${value}`;
  });
  return `step ${step}: ${values.join(", ")}`;
}

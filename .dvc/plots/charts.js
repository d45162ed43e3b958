// DVC's page calls vegaEmbed(element, specification) once a chart, and expects the function to be global.
import embed from "vega-embed";

const SIZE = { width: 480, height: 260 };
const CONFIG = {
  font: "system-ui, sans-serif",
  title: { fontSize: 15, offset: 12 },
  axis: { labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
  axisX: { labelSeparation: 8, labelOverlap: true },
  legend: { labelFontSize: 12, titleFontSize: 12, orient: "bottom", symbolType: "stroke", symbolSize: 400 },
};
// The other entries of the menu open a page of another host.
const MENU = { export: true, source: false, compiled: false, editor: false };
const ERRORS = 1; // a log level; warnings are of DVC's charts, whose marks under the pointer begin as none

window.vegaEmbed = (element, chart) => {
  // DVC asks for a chart of nothing where a revision lacks the file.
  if (!chart.data) return document.querySelector(element).remove();
  return embed(element, { ...chart, ...SIZE }, { config: CONFIG, actions: MENU, logLevel: ERRORS });
};

#!/usr/bin/env bash
# Builds .dvc/plots/page.html, the page of `dvc plots` with the library that draws in it, from the sources beside it.
# Needs npm; the page is committed, so that nothing else does.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source=$root/.dvc/plots page=$root/.dvc/plots/page.html
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

cp "$source"/*.js* "$source"/page.css "$source"/frame.html "$build"
cd "$build"
npm ci --no-audit --no-fund --silent --ignore-scripts
npx esbuild charts.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --legal-comments=none \
    --metafile=inputs.json --outfile=charts.body.js --log-level=warning
sums=$(cd "$source" && cat $(ls *.js *.json *.css frame.html | LC_ALL=C sort) | sha256sum | cut -d' ' -f1)
SOURCES=$sums node --input-type=commonjs - > page.html <<'JS'
const { existsSync, readFileSync } = require("node:fs");
const read = (path) => readFileSync(path, "utf8");

// Packages in the bundle, by the text of their licence; Vega's own is that of its parts.
const inputs = Object.keys(JSON.parse(read("inputs.json")).inputs);
const found = inputs.map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]);
const licences = new Map();
for (const name of new Set(found.filter(Boolean).sort())) {
  const shared = name.startsWith("vega") && !existsSync(`node_modules/${name}/LICENSE`);
  const text = read(`node_modules/${shared ? "vega-canvas" : name}/LICENSE`).trim();
  const version = JSON.parse(read(`node_modules/${name}/package.json`)).version;
  licences.set(text, [...(licences.get(text) ?? []), `${name} ${version}`]);
}
const notices = [...licences].map(([text, names]) => `${names.join(", ")}:\n\n${text}`).join("\n\n");
const banner = `/*! Built by scripts/build_plots_page.sh; edit the files beside this one. It contains

${notices.replaceAll("*/", "* /")}

Sources: sha256 ${process.env.SOURCES}
*/
`;
// "</script" in a string would end the page's script element.
const body = read("charts.body.js").replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const parts = { "@style@": read("page.css").trim(), "@script@": banner + body.trim() };
process.stdout.write(read("frame.html").replace(/@(style|script)@/g, (name) => parts[name]));
JS
cp page.html "$page"
ls -l "$page"

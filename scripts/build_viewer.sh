#!/usr/bin/env bash
# Builds voxsds/report/bundle.js, the report's script with three.js in it, from the sources in viewer/.
# Needs npm; the bundle is committed, so that nothing else does.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source=$root/viewer bundle=$root/voxsds/report/bundle.js
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

cp "$source"/*.js* "$build"
cd "$build"
npm ci --no-audit --no-fund --silent --ignore-scripts
{
    echo "/*! Built by scripts/build_viewer.sh; edit the files in viewer/. Contains three.js $(node -p "require('./node_modules/three/package.json').version"):"
    sed 's/^/ * /; s/ *$//' node_modules/three/LICENSE
    echo " *"
    echo " * Sources: sha256 $(cd "$source" && cat $(ls *.js *.json | LC_ALL=C sort) | sha256sum | cut -d' ' -f1)"
    echo " */"
} > banner
npx esbuild main.js --bundle --minify --format=iife --target=es2022 --charset=utf8 --legal-comments=none \
    --outfile=bundle.body.js --log-level=warning
# "</script" in a string would end the page's script element.
{ cat banner; sed 's#</script#<\\/script#g; s#<!--#<\\!--#g' bundle.body.js; } > "$bundle"
ls -l "$bundle"

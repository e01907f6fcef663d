#!/usr/bin/env bash
# Prints the path of Node.js. Fails, and says why, where what the TypeScript client needs is missing.
set -euo pipefail

if ! node=$(command -v node) || ! command -v npm >/dev/null || (($("$node" -p 'process.versions.node.split(".")[0]') < 20)); then
  echo "Node.js 20 or newer and npm are missing; on Debian: apt-get install nodejs npm" >&2
  exit 1
fi
echo "$node"
